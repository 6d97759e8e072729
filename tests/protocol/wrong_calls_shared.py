"""Plausible mistakes with what agents share: documents and their patches, locks, messages, deployments, calls.

`PLAN` is a document `{"count": 4, "limits": {"max": 5}, "tags": ["x", "y"]}`.
"""

from typing import Any

PLAN = {"namespace": "notes", "key": "plan"}
DEPLOY = {"name": "d", "target": "compose", "environment": "dev"}
WEB = {"name": "web", "image": "nginx"}
CALL = {"call_id": "call_bbbbbbbbbbbb"}
PLAN_VALUE = {"count": 4, "limits": {"max": 5}, "tags": ["x", "y"]}


def merged(patch: Any) -> tuple[str, dict[str, Any]]:
    """A merge patch of the document."""
    return "state_patch", PLAN | {"merge_patch": patch}


def stepped(**step: Any) -> tuple[str, dict[str, Any]]:
    """A JSON patch of one operation."""
    return "state_patch", PLAN | {"json_patch": [step]}


TAKEN_SHARED: list[tuple[str, dict[str, Any]]] = [
    ("state_patch", PLAN | {"merge_patch": [{"op": "test", "path": "/count", "value": 4}]}),
    stepped(operation="test", path="/count", value=4),
    stepped(op="add", path=["limits", "least"], value=1),
    stepped(op="delete", path="/limits/least"),
    ("state_get", PLAN | {"version": "latest"}),
    ("state_get", PLAN | {"version": "v1"}),
    ("locks_acquire", {"key": "k2"}),
    ("locks_release", {"name": "k2", "token": "1"}),
    ("locks_acquire", {"name": "k3", "as_agent": "scribe via user:local"}),
    ("locks_release", {"name": "k3", "as_agent": "agent:scribe via user:local"}),
    ("messages_send", {"to": ["capability=py"], "body": "x"}),
    ("deployments_define", DEPLOY | {"services": [WEB | {"env": [{"name": "A", "value": "1"}]}]}),
    ("deployments_define", DEPLOY | {"services": [WEB | {"command": "npm start"}]}),
    ("deployments_plan", {"deployment_id": "d", "revision": "latest"}),
    ("deployments_plan", {"deployment_id": "d", "revision": "v1"}),
]

_COUNTS = 'json_patch=[{"op":"increment","path":"/count","value":1}])'
WRONG_SHARED: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    # Patches of other dialects.
    (*merged({"$set": {"limits.max": 8}}), ('"$set" would be a member', 'merge_patch={"limits":{"max":8}})')),
    (*merged({"$unset": {"count": ""}}), ('"$unset" would be a member', 'merge_patch={"count":null})')),
    (*merged({"$inc": {"count": 1}}), ('"$inc" would be a member', _COUNTS)),
    (*merged({"count": {"$increment": 1}}), ('"$increment" would be a member', _COUNTS)),
    (
        *merged({"tags": {"$push": "z"}}),
        ("has no operators", 'json_patch=[{"op":"add","path":"/tags/-","value":"z"}])'),
    ),
    (*merged({"tags": {"$pull": "x"}}), ("has no operators",)),
    (*merged({"count": "+1"}), ("/count is the number 4", _COUNTS)),
    (*merged({"limits.max": 8}), ("/limits/max stays as it is", 'merge_patch={"limits":{"max":8}})')),
    (*merged({"limits.least": 1}), ('"limits.least" would be a member', 'merge_patch={"limits":{"least":1}})')),
    (*merged({"/limits/max": 8}), ("/limits/max stays as it is", 'merge_patch={"limits":{"max":8}})')),
    (*merged({"tags[0]": "q"}), ("/tags/0 stays", 'json_patch=[{"op":"replace","path":"/tags/0","value":"q"}])')),
    (*merged({"tags": {"0": "q"}}), ("a list of 2, which an object would replace", '"path":"/tags/0"')),
    (*merged({"tags": {"add": "q"}}), ("a list of 2, which an object would replace",)),
    (*merged({"op": "add", "path": "/z", "value": 1}), ("operation of json_patch", 'json_patch=[{"op":"add"')),
    ("state_patch", PLAN | {"value": {"count": 5}}, ("leaves the others", 'merge_patch={"count":5})')),
    ("state_patch", PLAN | {"json_patch": {"count": 5}}, ("leaves the others", 'merge_patch={"count":5})')),
    # Operations that there are not, and paths that are none.
    (*stepped(op="increment", path="/count", value=-9, min=0), ("Did you mean minimum?", '"minimum":0')),
    (*stepped(op="replace", path="/count", value=5, **{"if": 4}), ("a test operation before it does that",)),
    (*stepped(op="decrement", path="/count", value=1), ('"op":"increment","value":-1',)),
    (*stepped(op="append", path="/tags", value="z"), ('"op":"add","path":"/tags/-"',)),
    (*stepped(op="push", path="/tags", value="z"), ('"op":"add","path":"/tags/-"',)),
    (*stepped(op="add", path="/new/deep/key", value=1), ("/new does not exist", '"value":{"deep":{"key":1}}')),
    (*stepped(op="add", path="/new/-", value=1), ("/new does not exist", '"path":"/new","value":[1]')),
    (*stepped(op="add", path="/", value=1), ('"" is the whole document',)),
    (*stepped(op="replace", path="/", value=1), ('"" is the whole document',)),
    (*stepped(op="replace", path="/limits/mex", value=1), ("/limits/mex does not exist", "Did you mean 'max'?")),
    (*stepped(op="replace", path="limits.max", value=1), ("Did you mean /limits/max?",)),
    # Whole documents.
    ("state_set", PLAN | {"value": '{"count": 5}'}, ("text that holds JSON", 'value={"count":5})')),
    ("state_set", PLAN | {"value": {"$inc": {"count": 1}}}, ("state_patch changes a part",)),
    ("state_set", PLAN | {"value": 1, "ttl_seconds": 0}, ("Without it the document stays", 'key="plan", value=1).')),
    ("state_set", PLAN | {"value": 1, "nx": True}, ("expected_version=0",)),
    # Versions by other words than their numbers.
    ("state_get", PLAN | {"version": -1}, ("Leave it out for the newest", "state_history")),
    ("state_restore", PLAN | {"version": "previous"}, ("state_history lists them",)),
    ("state_restore", PLAN | {"version": -1}, ("state_history lists them",)),
    ("state_get", {"namespace": "notes", "key": "Plan"}, ("Did you mean 'notes/plan'?",)),
    ("state_get", {"namespace": "note", "key": "plan"}, ("Did you mean 'notes/'?",)),
    # Locks.
    ("locks_acquire", {"name": "docs/*.md, src/*.py"}, ("those are 2 names", "commit(calls=[...])")),
    ("locks_acquire", {"name": '["a", "b"]'}, ("those are 2 names",)),
    ("locks_acquire", {"name": "a", "ttl_seconds": 3_600_000}, ("Did you mean 3600?", "=3600)")),
    ("tasks_report", {"task_id": "x", "lease_token": "x", "extend_seconds": 60_000_000}, ("Did you mean 60000?",)),
    ("locks_release", {"name": "a", "renew": True}, ("Did you mean renew_seconds?", "renew_seconds=60)")),
    # Messages.
    ("messages_send", {"body": "x"}, ("no recipient", "all for every other agent")),
    ("messages_send", {"to": ["ann@example.com"], "body": "x"}, ("an email address, which email_send writes to",)),
    ("messages_send", {"to": ["capability:pyy"], "body": "x"}, ("Did you mean 'capability:py'?",)),
    ("email_send", {"to": ["scribe"], "subject": "s", "text": "t"}, ("not an email address", "messages_send")),
    # Calls.
    ("calls_open", {"purpose": "p", "participants": ["+49 170 1234567"]}, ("is a telephone, and none is reached",)),
    ("calls_control", CALL | {"action": "listen", "text": "x"}, ("takes no `text`", 'action="listen")')),
    ("calls_control", CALL | {"action": "kick"}, ("nobody is sent out of a call",)),
    ("calls_control", CALL | {"action": "transfer"}, ("invite asks somebody else in",)),
    # Deployments.
    ("deployments_define", DEPLOY | {"services": [WEB | {"command": "a && b"}]}, ('["sh", "-c", "a && b"]',)),
    (
        "deployments_define",
        DEPLOY | {"services": [WEB | {"env": [{"name": "A", "valueFrom": {"key": "k"}}]}]},
        ("services[0].env: a list of 1 is not accepted",),
    ),
    ("deployments_plan", {"deployment_id": "d", "revision": "previous"}, ("lists them",)),
    (
        "deployments_plan",
        {"deployment_id": "d", "action": "destroy"},
        ('deployments_plan(deployment_id="d", destroy=',),
    ),
    ("deployments_apply", {"deployment_id": "d"}, ("which deployments_plan gives",)),
    ("deployments_control", {"deployment_id": "d", "action": "status"}, ("deployments_find(deployment_id=...)",)),
    ("deployments_control", {"deployment_id": "d", "action": "restart"}, ("stop it, then start it",)),
    ("deployments_control", {"deployment_id": "d", "action": "scale"}, ("how many replicas a service has",)),
]
