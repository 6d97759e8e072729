"""What is asked of the event log."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Self, cast

from pydantic import BeforeValidator, Field, model_validator

from mcp_server.domain.events.things import BETWEEN, address_in_place, since_in_place, things
from mcp_server.kernel.arguments import Waiting
from mcp_server.kernel.meaning import EVENT_TYPE
from mcp_server.kernel.paging import LIMIT_MAX
from mcp_server.kernel.times import Micros, micros
from mcp_server.kernel.together import LIKE, not_together, require_span
from mcp_server.kernel.values import Time


def _joined(given: Any) -> Any:
    """Several as one text."""
    several = cast("list[Any]", given) if isinstance(given, list) else []
    return ",".join(several) if several and all(isinstance(one, str) for one in several) else cast("Any", given)


def types_of(text: str) -> list[str]:
    """What is divided by commas, or as in an expression by `|`, each once."""
    return list(dict.fromkeys(one for part in re.split("[,|]", text) if (one := part.strip())))


_TAIL = ("tail", "last", "latest")


def _refuse_a_tail(given: Mapping[str, Any]) -> None:
    """Refuse to be asked for the last ones by their number alone: without `newest_first` that is how many come first.

    Raises:
        ValidationFailed: with the call that reads them.
    """
    name = next((one for one in _TAIL if one in given), None)
    count = None if name is None else given[name]
    if name is not None and "limit" not in given and isinstance(count, int) and 0 < count <= LIMIT_MAX:
        several: dict[str, Any] = {} if isinstance(count, bool) else {"limit": count}
        raise not_together(
            f"`{name}` is said by newest_first=true, with limit for how many.",
            **{name: None},
            **several,
            newest_first=True,
        )


class ReadEvents(Waiting):
    """Events are read after a cursor, narrowed by what is given; or the chain that led to one."""

    INSTEAD: ClassVar[Mapping[str, str]] = {
        "parent_id": "aggregate_id takes the task's id, and children=true reads its children's events, too",
        **dict.fromkeys(
            ("namespace", "prefix"),
            "aggregate_id takes a document as namespace/key; type='document.*' is all documents",
        ),
        **dict.fromkeys(
            ("text", "query", "search", "title", "subject"),
            "what events say is not searched: narrow by type, actor or thing",
        ),
        "user": "actor takes user:NAME",
        "status": "how something ended is its type, such as type='*.failed'",
    }

    after: str | None = Field(default=None, description="Cursor of an earlier answer")
    since: Time | None = None
    until: Time | None = None
    type: Annotated[str | None, BeforeValidator(_joined), EVENT_TYPE] = Field(
        default=None, description="task.completed, task.* or *.failed; several with commas"
    )
    aggregate_id: Annotated[str | None, BeforeValidator(things)] = Field(
        default=None, description="Ids, namespace/key or lock name"
    )
    children: bool = False
    actor: Annotated[str | None, BeforeValidator(_joined)] = Field(
        default=None, description="Agents, user:NAME, or as in `actor`"
    )
    correlation_id: str | None = None
    newest_first: bool = False
    led_to: int | None = Field(default=None, ge=1, description="Instead: the chain that led to this seq")
    limit: int = Field(default=20, ge=1, le=LIMIT_MAX)

    @model_validator(mode="before")
    @classmethod
    def _as_meant(cls, given: Any) -> Any:
        """A document by its namespace and key is one thing; a time in the place of a cursor says since when."""
        if not isinstance(given, dict):
            return given
        _refuse_a_tail(cast("dict[str, Any]", given))
        return since_in_place(address_in_place(cast("dict[str, Any]", given)))

    @model_validator(mode="after")
    def _has_a_span(self) -> Self:
        require_span(self.since, self.until)
        return self

    @model_validator(mode="after")
    def _is_one_parent(self) -> Self:
        if self.children and len(self.things()) != 1:
            raise not_together(
                "`children` reads the events of one task and of its children, or of one approval and of what its calls "
                "wrote: `aggregate_id` says of which.",
                aggregate_id=LIKE if self.aggregate_id is None else self.things()[0],
            )
        return self

    def about(self, more: Iterable[str]) -> Self:
        """The same, about more things."""
        return self.model_copy(update={"aggregate_id": BETWEEN.join([*self.things(), *more])})

    def question(self) -> str | None:
        """The question of which is read what its calls wrote as well: that goes by its id."""
        asked = self.aggregate_id or ""
        is_whole = self.children and self.correlation_id is None
        return asked if is_whole and asked.startswith("approval_") else None

    def things(self) -> list[str]:
        """What is asked about, each once."""
        return [] if self.aggregate_id is None else list(dict.fromkeys(self.aggregate_id.split(BETWEEN)))

    def types(self) -> list[str]:
        """The types that are asked for, each once."""
        return types_of(self.type or "")

    def actors(self) -> list[str]:
        """The actors that are asked for, each once."""
        return types_of(self.actor or "")

    def is_over(self, now: Micros) -> bool:
        """Whether nothing is to come that was asked for: what came last, or before a time that has passed."""
        return self.newest_first or (self.until is not None and micros(self.until) <= now)
