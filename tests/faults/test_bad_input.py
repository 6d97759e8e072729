"""Bad input over the wire, to a real server process: each a clear error with its stable code; nothing is stored, and
nothing of the code's inside leaks."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.processes import RawClient, server

pytestmark = pytest.mark.anyio

NOBODY = "agent_aaaaaaaaaaaa"
NOTHING = "task_aaaaaaaaaaaa"


def task(**fields: Any) -> dict[str, Any]:
    return {"tasks": [{"title": "t"} | fields]}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


BAD: list[tuple[str, dict[str, Any], str, str]] = [
    # tool, arguments, code, part of the message
    ("tasks_find", {"task_id": NOTHING}, "not_found", NOTHING),
    ("tasks_find", {"task_id": "no such form"}, "not_found", "no such form"),
    ("tasks_find", {"cursor": "made up"}, "validation", "cursor"),
    ("tasks_claim", {"agent_id": NOBODY}, "not_found", NOBODY),
    ("tasks_report", {"task_id": NOTHING, "lease_token": "x"}, "not_found", NOTHING),
    ("tasks_finish", {"task_id": NOTHING, "lease_token": "x", "outcome": "completed"}, "not_found", NOTHING),
    ("tasks_finish", {"task_id": NOTHING, "lease_token": "x", "outcome": "maybe"}, "validation", "outcome"),
    ("tasks_wait", {"task_id": NOTHING}, "not_found", NOTHING),
    ("agents_find", {"agent_id": NOBODY}, "not_found", NOBODY),
    ("agents_control", {"agent_id": NOBODY, "action": "pause"}, "not_found", NOBODY),
    ("agents_control", {"agent_id": NOBODY, "action": "explode"}, "validation", "action"),
    ("tasks_create", {"tasks": []}, "validation", "tasks"),
    ("tasks_create", {"tasks": [{"title": "t"}] * 101}, "validation", "tasks"),
    ("tasks_create", task(depends_on=[NOTHING]), "not_found", NOTHING),
    ("tasks_create", task(depends_on=["#0"]), "validation", "#0 -> #0"),
    (
        "tasks_create",
        {"tasks": [{"title": "a", "depends_on": ["#1"]}, {"title": "b", "depends_on": ["#0"]}]},
        "validation",
        "#0 -> #1 -> #0",
    ),
    ("tasks_create", task(depends_on=["#7"]), "validation", "#7"),
    ("tasks_create", task(title=""), "validation", "title"),
    ("tasks_create", task(title="x" * 201), "validation", "title"),
    ("tasks_create", task(title="a\x00b"), "validation", "NUL"),
    ("tasks_create", task(title="a\ud800b"), "parse", "surrogate"),
    ("tasks_create", task(input={"a\ud800": 1}), "parse", "surrogate"),
    ("tasks_create", task(input="x" * 1_000_000), "limit_exceeded", "262144"),
    ("tasks_create", task(input=nested(65)), "validation", "64 levels"),
    ("tasks_create", task(input=nested(150)), "validation", "64 levels"),
    ("tasks_create", task(priority="asap"), "validation", "priority"),
    ("tasks_create", task(timeout_seconds=-1), "validation", "timeout_seconds"),
    ("tasks_create", task(timeout_seconds=1e300), "validation", "timeout_seconds"),
    ("tasks_create", task(timeout_seconds="soon"), "validation", "timeout_seconds"),
    ("tasks_create", task(concurrency_key="k", concurrency_limit=0), "validation", "concurrency_limit"),
    ("tasks_create", task(concurrency_key="k", concurrency_limit=10**30), "validation", "concurrency_limit"),
    ("tasks_create", task(retry={"max_attempts": 0}), "validation", "max_attempts"),
    ("tasks_create", task(retry={"max_attempts": 10**9}), "validation", "max_attempts"),
    ("tasks_create", task(retry={"delay_seconds": -5}), "validation", "delay_seconds"),
    ("tasks_create", task(run_at="yesterday"), "validation", "run_at"),
    ("tasks_create", task(run_at="2026-01-01T00:00:00"), "validation", "run_at"),
    ("tasks_create", task(run_at="99999-01-01T00:00:00Z"), "validation", "run_at"),
    ("tasks_create", task(schedule={"cron": "every day"}), "validation", "every day"),
    ("tasks_create", task(schedule={"cron": "61 * * * *"}), "validation", "61"),
    ("tasks_create", task(schedule={"cron": "0 0 31 2 *"}), "validation", "never fires"),
    ("tasks_create", task(schedule={"cron": "* * * * *", "timezone": "Mars/Base"}), "validation", "Mars/Base"),
    ("tasks_create", task(schedule={"cron": "* * * * *", "timezone": "../etc/passwd"}), "validation", "etc/passwd"),
    ("tasks_create", task(kind="system.email"), "validation", "system."),
    ("tasks_create", task(unknown=1), "validation", "unknown"),
    ("tasks_claim", {"agent_id": NOBODY, "wait_seconds": 51}, "validation", "wait_seconds"),
    ("tasks_claim", {"agent_id": NOBODY, "max_tasks": -1}, "validation", "max_tasks"),
    ("tasks_claim", {"agent_id": NOBODY, "lease_seconds": 0}, "validation", "lease_seconds"),
    ("tasks_control", {"task_ids": [], "action": "cancel"}, "validation", "task_ids"),
    ("agents_register", {"name": "a", "max_concurrent_tasks": 0}, "validation", "max_concurrent_tasks"),
    ("agents_register", {"name": "a", "budget": {"tokens_per_month": -1}}, "validation", "tokens_per_month"),
    ("agents_register", {"name": "\x1b[31m"}, "validation", "name"),
    ("state_set", {"namespace": "n", "key": "k", "value": nested(100)}, "validation", "64 levels"),
    ("state_set", {"namespace": "n", "key": "k", "value": "x" * 300_000}, "limit_exceeded", "262144"),
    ("state_set", {"namespace": "n", "key": "k", "value": {"a": "\udfff"}}, "parse", "surrogate"),
    ("state_set", {"namespace": "n", "key": "k", "value": 1, "expected_version": -1}, "validation", "expected_version"),
    ("state_get", {"namespace": "n", "key": "none"}, "not_found", "none"),
    ("email_send", {"to": ["a@b.org\nBcc: c@d.org"], "subject": "s", "text": "t"}, "validation", "line break"),
    ("email_send", {"to": ["a@b.org"], "subject": "s\r\nBcc: c@d.org", "text": "t"}, "validation", "line break"),
    ("email_send", {"to": ["nonsense"], "subject": "s", "text": "t"}, "validation", "not an email address"),
    ("email_send", {"to": "a@b.org", "subject": "s", "text": "t", "from": "x@y.org"}, "validation", "no such argument"),
    ("email_send", {"to": "a@b.org", "template": "none"}, "not_found", "email-templates/none"),
    ("email_send", {"to": "a@b.org", "subject": "s", "text": "t", "send_at": "soon"}, "validation", "send_at"),
    (
        "email_send",
        {"to": "a@b.org", "subject": "s", "text": "t", "attachments": [{"name": "p", "path": "/etc/passwd"}]},
        "validation",
        "path",
    ),
    ("email_find", {"email_id": "email_none"}, "not_found", "email_none"),
    ("approvals_request", {"title": "t", "action": "", "approvers": ["a"]}, "validation", "action"),
    ("approvals_request", {"title": "t", "action": "a", "approvers": ["a"], "quorum": 2}, "validation", "quorum"),
    ("approvals_request", {"title": "t", "action": "a", "approvers": [], "task_id": NOTHING}, "not_found", NOTHING),
    ("approvals_decide", {"approval_id": "approval_none"}, "not_found", "approval_none"),
    ("messages_send", {"to": [NOBODY], "body": "b"}, "not_found", NOBODY),
    ("messages_send", {"to": [], "body": "b"}, "validation", "no recipient"),
    ("messages_send", {"to": "nobody-can", "body": "b"}, "not_found", "nobody-can"),
    ("messages_send", {"to": [NOBODY], "body": "x" * 30_000}, "validation", "body"),
    ("messages_read", {"agent_id": NOBODY}, "not_found", NOBODY),
    ("events_read", {"led_to": 99}, "not_found", "99"),
]


@asynccontextmanager
async def quiet(url: str) -> AsyncGenerator[RawClient]:
    async with server(url) as client:
        yield client
        assert (await client.call("events_read"))["events"] == [], "something was stored"


@pytest.mark.slow
async def test_every_bad_call_is_refused_with_its_code_and_nothing_is_stored(sqlite_url: str):
    async with quiet(sqlite_url) as client:
        for tool, arguments, code, says in BAD:
            answer = await client.request("tools/call", {"name": tool, "arguments": arguments})
            said = json.dumps(answer)
            case = f"{tool} {json.dumps(arguments)[:200]}: {said[:1000]}"
            if code == "parse":
                assert answer["error"]["code"] == -32700, case
            else:
                assert answer["result"]["isError"], case
                assert answer["result"]["structuredContent"]["error"]["code"] == code, case
            assert says in said, case
            assert not any(word in said for word in ("Traceback", "site-packages", 'File \\"', "pydantic")), case
            assert len(said) < 4000, f"an answer as long as the input: {case}"


NO_JSON = ["[" * 5_000 + "]" * 5_000, "1" + "0" * 5000, "NaN", "Infinity", "-Infinity", "1e999", '{"a":1,"a":2}']


@pytest.mark.slow
async def test_json_that_is_none_or_cannot_be_kept_is_refused_and_the_server_goes_on(sqlite_url: str):
    async with quiet(sqlite_url) as client:
        assert client.process.stdin is not None
        for value in NO_JSON:
            line = (
                '{"jsonrpc":"2.0","id":77,"method":"tools/call","params":{"name":"state_set",'
                f'"arguments":{{"namespace":"n","key":"k","value":{value}}}}}}}\n'
            )
            client.process.stdin.write(line.encode())
            await client.process.stdin.drain()
            async with asyncio.timeout(60):
                answer = await client.receive()
            said = json.dumps(answer)[:1000]
            assert "error" in answer or answer["result"]["isError"], (value[:20], said)
            assert "Traceback" not in said and "correlation" not in said, (value[:20], said)


@pytest.mark.slow
async def test_a_wrong_token_changes_nothing_and_says_whose_the_task_is(sqlite_url: str):
    async with server(sqlite_url) as client:
        agent = (await client.call("agents_register", name="a"))["agent"]["id"]
        await client.call("tasks_create", tasks=[{"title": "t"}])
        claim = (await client.call("tasks_claim", agent_id=agent))["claims"][0]
        task_id, token = claim["task"]["id"], claim["lease_token"]
        for wrong in (token[:-1], token + "b", "", 1, "x" * 65):
            for tool, more in (("tasks_report", {}), ("tasks_finish", {"outcome": "completed"})):
                error = (await client.call(tool, task_id=task_id, lease_token=wrong, **more))["error"]
                assert error["code"] in ("lease_lost", "validation"), error
        error = (await client.call("tasks_report", task_id=task_id, lease_token=2**70))["error"]
        assert error["code"] in ("lease_lost", "validation"), error
        assert (await client.call("tasks_find", task_id=task_id))["task"]["status"] == "running"


KEYS = [
    "..",
    "../../etc/passwd",
    "a//b",
    "/first",
    "last/",
    " spaces ",
    "what?#%20",
    "é ☃ 🎉 👩‍👩‍👧",
    "{key}",
    "k" * 512,
]


@pytest.mark.slow
async def test_unusual_keys_are_kept_as_they_are_and_one_that_is_too_long_is_refused(sqlite_url: str):
    async with server(sqlite_url) as client:
        for key in KEYS:
            document = (await client.call("state_set", namespace="n", key=key, value={"of": key}))["document"]
            assert (document["key"], document["version"]) == (key, 1)
            document = (await client.call("state_get", namespace="n", key=key))["document"]
            assert (document["key"], document["value"]) == (key, {"of": key})
            assert (await client.call("state_history", namespace="n", key=key))["versions"][0]["version"] == 1
        found = await client.call("state_find", namespace="n", limit=100)
        assert sorted(document["key"] for document in found["documents"]) == sorted(KEYS)
        for key in ("k" * 10_000, "", "a\x00b"):
            error = (await client.call("state_set", namespace="n", key=key, value=1))["error"]
            assert error["code"] == "validation" and "key" in error["message"] and len(error["message"]) < 500
        assert len((await client.call("state_find", namespace="n", limit=100))["documents"]) == len(KEYS)


VALUES = [
    *("123456789012345678901234567890", "-9223372036854775809", "18446744073709551616", "1e308", "5e-324", "-0.0"),
    *('"\\u0000 \\u001f \\u007f \\u2028"', '{"":{"":""}}', '{"a/b":1,"a~b":2,"__proto__":3}', "[[],{},null,false]"),
]


@pytest.mark.slow
async def test_unusual_values_come_back_as_they_were(sqlite_url: str):
    async with server(sqlite_url) as client:
        for text in VALUES:
            await client.call("state_set", namespace="n", key="k", value=json.loads(text))
            document = (await client.call("state_get", namespace="n", key="k"))["document"]
            assert json.dumps(document["value"]) == json.dumps(json.loads(text))


PATCHES: list[tuple[dict[str, Any], str]] = [
    ({"json_patch": [{"op": "replace", "path": "/none", "value": 1}]}, "/none"),
    ({"json_patch": [{"op": "remove", "path": "/list/7"}]}, "/list/7"),
    ({"json_patch": [{"op": "remove", "path": "/list/-"}]}, "/list/-"),
    ({"json_patch": [{"op": "add", "path": "/list/01", "value": 1}]}, "/list/01"),
    ({"json_patch": [{"op": "add", "path": "/list/-1", "value": 1}]}, "/list/-1"),
    ({"json_patch": [{"op": "add", "path": "list", "value": 1}]}, "list"),
    ({"json_patch": [{"op": "add", "path": "/a~2b", "value": 1}]}, "/a~2b"),
    ({"json_patch": [{"op": "add", "path": "/a/b/c/d", "value": 1}]}, "/a/b/c/d"),
    ({"json_patch": [{"op": "add", "path": "/x"}]}, "value"),
    ({"json_patch": [{"op": "move", "path": "/a/b", "from": "/a"}]}, "/a"),
    ({"json_patch": [{"op": "copy", "path": "/x", "from": "/none"}]}, "/none"),
    ({"json_patch": [{"op": "test", "path": "/a/b", "value": 2}]}, "/a/b"),
    ({"json_patch": [{"op": "add", "path": "/x", "value": 1}, {"op": "test", "path": "/x", "value": 2}]}, "/x"),
    ({"json_patch": [{"op": "explode", "path": "/a"}]}, "op"),
    ({"json_patch": {"op": "add"}}, "json_patch"),
    ({}, "merge_patch"),
    ({"merge_patch": {"a": 1}, "json_patch": [{"op": "remove", "path": "/a"}]}, "merge_patch"),
]


@pytest.mark.slow
async def test_a_patch_that_does_not_fit_is_refused_by_name_and_changes_nothing(sqlite_url: str):
    value = {"a": {"b": 1}, "list": [1, 2]}
    async with server(sqlite_url) as client:
        await client.call("state_set", namespace="n", key="k", value=value)
        for patch, says in PATCHES:
            answer = await client.call("state_patch", namespace="n", key="k", **patch)
            assert "error" in answer, patch
            assert answer["error"]["code"] in ("validation", "conflict"), answer
            assert says in json.dumps(answer["error"]), answer
        document = (await client.call("state_get", namespace="n", key="k"))["document"]
        assert (document["value"], document["version"]) == (value, 1)
