"""What events tell, watched in the whole suite: of each that is appended the types of its data are checked, and a run
of all fast tests fails where a name that an area declares was told by none."""

from collections.abc import Callable, Generator
from functools import cache
from typing import Any, get_args, get_type_hints

import pytest
from pydantic import TypeAdapter, ValidationError

from mcp_server.domain.areas import AREAS
from mcp_server.kernel.events import Event, Origin
from mcp_server.persistence.transaction import Transaction

_SEEN: dict[str, set[str]] = {}
_WRONG: list[str] = []
_IN_OLD_ROWS = {
    (f"task.{name}", "due_at") for name in ("assigned", "cancel_requested", "discarded", "priority_set")
} | {("task.retried", "due_at")}
"""What these cannot change, but would put right in a row that an earlier version has left."""


def types_of(aggregate_type: str) -> dict[str, Any]:
    """The types of what the events of an aggregate tell."""
    aggregate = AREAS.aggregates[aggregate_type]
    columns = {} if aggregate.record is None else get_type_hints(aggregate.record)
    return columns | dict(aggregate.beside)


@cache
def _checks(aggregate_type: str) -> dict[str, Callable[[Any], Any]]:
    kinds = types_of(aggregate_type).items()
    return {name: TypeAdapter(kind).validator.validate_python for name, kind in kinds}


def plain(aggregate_type: str, name: str) -> Any:
    """Something that an event may tell under a name."""
    return next(
        one for one in ("x", 1, {}, [], None, *_words(aggregate_type, name)) if _fits(aggregate_type, name, one)
    )


def _words(aggregate_type: str, name: str) -> tuple[Any, ...]:
    return get_args(types_of(aggregate_type)[name])


def _fits(aggregate_type: str, name: str, value: Any) -> bool:
    try:
        _checks(aggregate_type)[name](value, strict=True)
    except ValidationError:
        return False
    return True


def wrong_types(event: Event) -> list[str]:
    """What an event tells that is not of its type, in words."""
    if event.aggregate_type not in AREAS.aggregates:
        return []  # one that a test makes up
    return [
        f"{event.type} tells {name}={value!r}, which is {type(value).__name__}"
        for name, value in event.data.items()
        if not _fits(event.aggregate_type, name, value)
    ]


@pytest.fixture(autouse=True, scope="session")
def _events_are_watched() -> Generator[None]:
    whole = Transaction.append

    def append(self: Transaction, origin: Origin, event: Event) -> int:
        number = whole(self, origin, event)
        _SEEN.setdefault(event.type, set()).update(event.data)
        _WRONG.extend(wrong_types(event))
        return number

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Transaction, "append", append)
        yield


@pytest.fixture(autouse=True)
def _events_tell_what_they_are_declared_to() -> Generator[None]:
    _WRONG.clear()
    yield
    assert not _WRONG


def unseen() -> list[str]:
    """Every type and name that an area declares and no event told."""
    declared = {(type_, name) for type_, telling in AREAS.tells.items() for name in ("", *telling.known)}
    seen = {(type_, name) for type_, names in _SEEN.items() for name in ("", *names)}
    return sorted(f"{type_} {name}".rstrip() for type_, name in declared - seen - _IN_OLD_ROWS)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of pytest-xdist tells what it has seen."""
    for type_, names in getattr(node, "workeroutput", {}).get("told", {}).items():
        _SEEN.setdefault(type_, set()).update(names)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run of all fast tests in which a declared name was told by no event."""
    config = session.config
    if hasattr(config, "workerinput"):
        config.workeroutput["told"] = {type_: sorted(names) for type_, names in _SEEN.items()}
        return
    is_all = config.args == ["tests"] and config.option.markexpr == "not slow" and not config.option.keyword
    if is_all and session.exitstatus == pytest.ExitCode.OK and unseen():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        _complain(config)


def _complain(config: pytest.Config) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(f"No test made an event that tells: {'; '.join(unseen())}", red=True)
