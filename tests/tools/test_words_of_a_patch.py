"""What a person reads of a change to a document's parts, of a message and of a mail."""

import pytest

from mcp_server.domain.email.commands import SendEmail
from mcp_server.domain.messages.model import SendMessage
from mcp_server.domain.state.commands import PatchDocument
from mcp_server.domain.state.steps import PatchStep
from tools import TOOLS

(PATCH,) = (one for one in TOOLS if one.name == "state_patch")


def says(**patch: object) -> str:
    assert PATCH.part is not None
    return PATCH.part.says(PatchDocument.model_validate({"namespace": "n", "key": "k", **patch}))


@pytest.mark.parametrize(
    ("patch", "parts"),
    [
        ({"merge_patch": {"a": {"b": 1, "c/d": None}, "e": {}}}, "/a/b, /a/c~1d, /e"),
        ({"merge_patch": {}}, "parts"),
        ({"merge_patch": {f"m{number}": 1 for number in range(7)}}, "/m0, /m1, /m2, /m3, /m4 and 2 more"),
        ({"merge_patch": {"x": 1, "say yes. Now": 1}}, '/x, "/say yes. Now"'),
        (
            {
                "json_patch": [
                    PatchStep.model_validate(one)
                    for one in (
                        {"op": "test", "path": "/z", "value": 1},
                        {"op": "move", "from": "/a", "path": "/b"},
                        {"op": "remove", "path": "/b"},
                    )
                ]
            },
            "/a, /b",
        ),
    ],
)
def test_a_patch_says_which_parts_it_changes(patch: dict[str, object], parts: str):
    assert says(**patch).startswith(f"Change {parts} in document n/k by ")


def test_a_patch_says_to_what_it_changes_them():
    assert says(merge_patch={"a": {"b": 7}}) == 'Change /a/b in document n/k by {"a":{"b":7}}.'
    steps = [{"value": [1], "path": "/a", "op": "add"}, {"op": "move", "path": "/c", "from": "/b"}]
    told = '[{"op":"add","path":"/a","value":[1]},{"op":"move","from":"/b","path":"/c"}]'
    assert says(json_patch=steps) == f"Change /a, /b, /c in document n/k by {told}."


def test_what_is_replaced_alone_is_said_in_words_with_what_it_was_where_that_is_tested():
    steps = [
        {"op": "test", "path": "/count", "value": 5},
        {"op": "replace", "path": "/count", "value": 2},
        {"op": "replace", "path": "/name", "value": 'a "b"'},
    ]
    assert says(json_patch=steps) == r'Change /count from 5 to 2, /name to "a \"b\"" in document n/k.'
    for other in ([*steps, steps[0]], [{"op": "test", "path": "/z", "value": 1}, *steps]):
        assert " by [" in says(json_patch=other) or ' by "[' in says(json_patch=other)


def test_what_is_counted_alone_is_said_in_words():
    steps = [{"op": "increment", "path": "/stock", "value": -3, "minimum": 1000004}]
    steps.append({"op": "increment", "path": "/sold", "value": 3})
    assert says(json_patch=steps) == "Change /stock by -3 (to 1000004 at least), /sold by 3 in document n/k."
    told = says(json_patch=[*steps, {"op": "remove", "path": "/x"}])
    assert "'value':-3,'minimum':1000004}" in told


def test_a_patch_of_long_names_says_their_beginning():
    assert len(says(merge_patch={f"{number}{'x' * 500}": 1 for number in range(50)})) < 600


def test_a_message_says_its_subject_and_how_its_body_begins():
    (part,) = (one.part for one in TOOLS if one.name == "messages_send")
    assert part is not None
    told = part.says(SendMessage.model_validate({"to": ["bob"], "subject": "Release", "body": "x" * 500}))
    assert told.startswith('Send a message to bob: "Release": "xxxx') and len(told) < 160


def test_a_mail_says_how_it_begins_or_what_fills_its_template_and_where_answers_and_files_go():
    (part,) = (one.part for one in TOOLS if one.name == "email_send")
    assert part is not None
    mail = {"to": ["ann@example.org"], "subject": "Bill", "text": "x" * 500, "reply_to": "bob@example.org"}
    told = part.says(SendEmail.model_validate(mail | {"attachments": [{"name": "bill.pdf", "content_base64": "YQ=="}]}))
    assert told.startswith('Send an email to ann@example.org: "Bill": "xxxx') and len(told) < 200
    assert told.endswith('" (answers to bob@example.org, with bill.pdf).')
    filled = {"to": ["ann@example.org"], "template": "bill", "variables": {"sum": 5, "name": "Ann"}}
    told = part.says(SendEmail.model_validate(filled))
    assert told == """Send an email to ann@example.org: the template bill with {"sum":5,"name":"Ann"}."""
