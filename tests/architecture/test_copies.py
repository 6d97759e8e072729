"""Where a statement lists the columns of a record by hand, none is left out."""

import re

import pytest

from mcp_server.domain.areas import AREAS
from mcp_server.domain.locks.model import Hold
from mcp_server.domain.messages.model import Delivery, Message
from mcp_server.domain.tasks.model import _LIFE, Task
from mcp_server.domain.tasks.rules import BLANK
from mcp_server.kernel.records import Record, blank_of
from mcp_server.persistence.statements import statements


@pytest.mark.parametrize(
    ("statement", "record", "apart"),
    [
        ("lock_hold_insert", Hold, set()),
        ("lock_holds_whole", Hold, {"name", "pattern"}),  # the name is the aggregate's, and says whether it is a glob
        ("message_insert", Message, set()),
        ("delivery_restore", Delivery, set()),
    ],
)
@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_a_statement_that_lists_a_records_columns_lists_them_all(
    engine: str, statement: str, record: type[Record], apart: set[str]
):
    words = set(re.findall(r"\w+", statements(engine, AREAS.sql)[statement]))
    assert (blank_of(record).keys() - apart) - words == set()
    assert not apart - blank_of(record).keys()


def test_a_firing_takes_over_every_field_of_its_schedule_that_is_not_of_its_life():
    whole = {name: name for name in blank_of(Task)} | {"input": "1", "tags": "[]", "depends_on": "[]"}
    whole |= dict.fromkeys(("required_capabilities", "schedule", "progress", "result", "error", "usage"), "[]")
    assert Task.adopt(whole).definition().keys() == blank_of(Task).keys() - _LIFE
    assert _LIFE - BLANK.keys() == {"id", "version", "status", "ready_at", "due_at"}
