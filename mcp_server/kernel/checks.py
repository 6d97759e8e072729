"""Checks that need nothing of each other: all are made, and one refusal tells what all of them found. Who is told of
one fault at a time calls once for each."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.refusing import CALL, FAULTS, NEXT_CALL, PROBLEMS, PROBLEMS_LISTED, PROBLEMS_TOLD
from mcp_server.kernel.together import CHANGE

FOUND_MAX = 200
_OF_ONE = (NEXT_CALL, PROBLEMS)


def check_all(*checks: Callable[[], object]) -> None:
    """Make all checks.

    Raises:
        OpsError: what one of them found; of several, as `refuse` says.
    """
    refuse(filter(None, map(found_by, checks)))


def found_by(check: Callable[[], object]) -> OpsError | None:
    """What a check found; None where all is well."""
    try:
        check()
    except OpsError as error:
        return error
    return None


@contextmanager
def noting(found: list[OpsError]) -> Generator[None]:
    """Whatever is refused within is noted, to be told with the rest by `refuse`."""
    try:
        yield
    except OpsError as error:
        found.append(error)


def refuse(found: Iterable[OpsError]) -> None:
    """Refuse with all that was found, if anything was. Of what is found while this looks, no more is looked for than so
    much as nobody reads.

    Raises:
        OpsError: the only one; of several, one of the first one's kind that says them all, and holds each.
    """
    first = islice(found, FOUND_MAX + 1)
    errors = list({error.message: error for error in first}.values())
    if errors:
        raise errors[0] if len(errors) == 1 else _one_of(errors)


def _one_of(errors: Sequence[OpsError]) -> OpsError:
    left = len(errors) - PROBLEMS_TOLD
    least = "at least " if len(errors) > FOUND_MAX else ""
    said = [error.message for error in errors[:PROBLEMS_TOLD]] + ([f"And {least}{left} more."] if left > 0 else [])
    whole = type(errors[0])(" ".join(said), details=_details(errors))
    whole.wrong = " ".join(error.wrong for error in errors[:PROBLEMS_TOLD])
    return whole


def _details(errors: Sequence[OpsError]) -> dict[str, Any]:
    """The facts of all, of two by one name those of the first; and each refusal, beside it what is of it alone."""
    facts, together = dict[str, Any](), dict[str, Any]()
    for error in reversed(errors):
        facts |= _but(_OF_ONE, error.details)
        together |= error.details.get(CHANGE, {})
    each = [_as_data(error) for error in errors[:PROBLEMS_LISTED]]
    return facts | ({CHANGE: together} if CHANGE in facts else {}) | {FAULTS: each}


def _as_data(error: OpsError) -> dict[str, Any]:
    own = {name: error.details[name] for name in (CALL, *_OF_ONE) if name in error.details}
    return {"code": error.code, "message": error.message} | own


def _but(names: Sequence[str], details: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in details.items() if name not in names}
