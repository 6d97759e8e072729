"""What a person is shown: the server's words first and apart from others', complete, and nothing unseen."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.domain.approvals.commands import RequestApproval
from mcp_server.domain.approvals.model import Approval
from mcp_server.domain.approvals.question import question_text
from mcp_server.domain.approvals.words import words_of
from mcp_server.kernel.events import Origin
from mcp_server.kernel.lines import one_line
from tests.kernel.test_lines import HOSTILE

pytestmark = pytest.mark.anyio
texts = st.text(
    st.one_of(
        st.characters(exclude_characters="\x00", exclude_categories=("Cs",)),
        st.sampled_from(HOSTILE.replace("\x00", "")),
    ),
    min_size=1,
    max_size=200,
)
values: Any = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
SERVERS = ("May this happen? ", "Asked ", "Anyone who may", "What is asked:", "Details:", "SHA-256 of this: ")


@given(texts, texts, values, texts)
def test_no_text_of_another_stands_for_the_servers_own_words(title: str, action: str, details: Any, approver: str):
    # As an older row may hold it: a title is refused today that is not one line.
    spec = RequestApproval.model_construct(
        title=title, action=action, details=details, approvers=(approver.replace("@", "a"),)
    )
    approval, _ = Approval.requested(words_of(spec), "task_x", Origin(0, "agent:a via user:u", "c"), spec)
    shown = question_text(approval)
    for line in shown.split("\n"):
        assert line == one_line(line)
        assert line == "" or line.startswith(("> ", *SERVERS))
    assert one_line(title) in shown and approval.action_hash[:16] in shown


def test_texts_of_several_lines_are_read_as_such():
    body = "Dear Ann,\n\nas agreed.\nto: boss@x.org\n" + "x" * 80
    spec = RequestApproval(title="t", action="a", details={"to": ["eve@x.org"], "text": body}, approvers=())
    approval, _ = Approval.requested(words_of(spec), "task_x", Origin(0, "user:u", "c"), spec)
    assert '> to: ["eve@x.org"]\n> text:\n>   | Dear Ann,\n>   | \n>   | as agreed.\n>   | to: boss' in question_text(
        approval
    )
