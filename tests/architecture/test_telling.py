"""What events tell is declared once, and the store takes nothing else."""

from typing import Any

import pytest

from mcp_server.domain.areas import AREAS
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.records import blank_of
from mcp_server.persistence.database import make_backend
from tests import telling

ORIGIN = Origin(0, "user:x", "c")
LOST = Event("instance.lost", "instance", "instance_x", 2, {"lost_at": 1})


def append(url: str, event: Event) -> int:
    backend = make_backend(url, AREAS)
    backend.prepare()
    session = backend.open_session()
    try:
        return session.begin().append(ORIGIN, event)
    finally:
        session.rollback()
        session.close()


def test_an_event_that_tells_what_its_area_says_is_taken(url: str):
    assert append(url, LOST)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({}, r"missing \['lost_at'\]"),
        ({"lost": 1}, r"missing \['lost_at'\], unknown \['lost'\]"),
        ({"lost_at": 1, "host": "h"}, r"unknown \['host'\]"),
    ],
)
def test_an_event_that_tells_less_or_more_than_its_area_says_is_refused(url: str, data: dict[str, Any], why: str):
    with pytest.raises(TypeError, match=why):
        append(url, LOST._replace(data=data))


@pytest.mark.parametrize("aggregate", AREAS.aggregates.values(), ids=lambda one: one.type)
def test_every_name_that_an_event_may_tell_has_a_type(aggregate: Any):
    types = telling.types_of(aggregate.type)
    for told in aggregate.tells().values():
        assert told.known <= types.keys()
    columns = set() if aggregate.record is None else set(blank_of(aggregate.record))
    assert aggregate.json <= columns


def test_what_is_no_value_of_its_type_is_found():
    assert telling.wrong_types(LOST) == []
    (wrong,) = telling.wrong_types(LOST._replace(data={"lost_at": "now"}))
    assert "lost_at='now'" in wrong
