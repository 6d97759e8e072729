"""The sentence that stands before a result says what came of the call, and not more than that."""

from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp_types import ElicitResult

from mcp_server.app import open_app
from tests.protocol.test_calls import settings
from tests.protocol.test_hostile_arguments import opened

pytestmark = pytest.mark.anyio
KEPT = "Nobody gets mails here: the provider is file."
MAIL = {"to": "ann@example.org", "subject": "s", "text": "t"}


async def said(client: Client, tool: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return result.content[0].text.split("\n")[0], result.structured_content or {}  # type: ignore[union-attr]


async def test_a_mail_that_nobody_gets_is_not_said_to_be_sent(tmp_path: Path):
    async with open_app(settings(tmp_path)) as app, Client(app.server) as client:
        text, _ = await said(client, "email_send", **MAIL, dry_run=True)
        assert text == f"{KEPT} This was a dry run: nothing is queued."
        later = MAIL | {"send_at": "2099-01-01T09:00:00Z", "idempotency_key": "k"}
        text, sent = await said(client, "email_send", **later)
        assert f"tasks_control(action='cancel', task_ids=['{sent['email']['task_id']}']) calls it off" in text
        queued = f"{sent['email']['id']} is queued and goes out at 2099-01-01T09:00:00.000Z. Until then "
        assert text.startswith(f"{KEPT} {queued}")
        text, _ = await said(client, "email_send", **later)
        assert "was queued before under this key, nothing was queued now" in text
        text, _ = await said(client, "email_find", email_id=sent["email"]["id"])
        assert text.endswith(KEPT)


async def test_a_mail_that_nobody_gets_is_not_said_to_be_sent_where_it_lands_with_other_calls(tmp_path: Path):
    calls = [{"tool": "email_send", "arguments": MAIL}]
    async with open_app(settings(tmp_path)) as app, Client(app.server) as client:
        text, _ = await said(client, "commit", calls=calls)
        assert text == f"It landed. {KEPT}"
        await said(client, "agents_register", name="scribe")
        await said(client, "tasks_create", tasks=[{"title": "t"}], as_agent="scribe")
        _, claimed = await said(client, "tasks_claim", agent_id="scribe")
        (claim,) = claimed["claims"]
        held = {"task_id": claim["task"]["id"], "lease_token": claim["lease_token"]}
        text, _ = await said(client, "tasks_finish", **held, outcome="completed", also=calls)
        assert text.endswith(KEPT)


async def test_what_is_kept_of_a_mail_or_a_question_for_proof_alone_is_not_in_what_events_tell(tmp_path: Path):
    files = [{"name": "a.txt", "content_base64": "aGVsbG8="}]
    async with open_app(settings(tmp_path)) as app, Client(app.server) as client:
        _, sent = await said(client, "email_send", **MAIL, attachments=files)
        _, read = await said(client, "events_read", aggregate_id=sent["email"]["id"], type="email.queued")
        (file,) = read["events"][0]["data"]["attachments"]
        assert file == {"name": "a.txt", "media_type": "application/octet-stream", "bytes": 5}
        calls = [{"tool": "state_set", "arguments": {"namespace": "n", "key": "k", "value": 1}}]
        _, asked = await said(client, "approvals_request", title="t", calls=calls, idempotency_key="k")
        _, read = await said(client, "events_read", aggregate_id=asked["approval"]["id"])
        assert not {"asked_as", "action_hash", "content_hash"} & read["events"][0]["data"].keys()


async def test_an_acknowledgement_is_said_to_have_counted(tmp_path: Path):
    async with open_app(settings(tmp_path)) as app, Client(app.server) as client:
        _, sent = await said(client, "messages_send", to="user:local", body="x", ack_within_seconds=60)
        text, _ = await said(client, "messages_read", acknowledge=[sent["message"]["id"]])
        assert text.startswith("Acknowledged 1. ")


async def test_an_agent_that_is_new_or_known_is_said_to_be_able_to_claim_and_one_that_is_paused_is_not(tmp_path: Path):
    async with open_app(settings(tmp_path)) as app, Client(app.server) as client:
        for _ in range(2):
            text, _ = await said(client, "agents_register", name="ann")
            assert " It can claim tasks now (it reads initializing until its first claim)." in text
        await said(client, "agents_control", agent_id="ann", action="pause")
        text, _ = await said(client, "agents_register", name="ann", description="d")
        again = "claims nothing until agents_control(agent_id="
        assert f" It is in maintenance and {again}" in text and text.endswith(", action='resume').")
        text, _ = await said(client, "agents_control", agent_id="ann", action="resume")
        assert text == "Agent ann is at work again."
        await said(client, "agents_control", agent_id="ann", action="terminate", reason="gone")
        text, _ = await said(client, "agents_register", name="ann")
        assert f' It is terminated ("gone") and {again}' in text


async def test_what_an_agent_that_leaves_held_is_told(tmp_path: Path):
    async with open_app(settings(tmp_path)) as app, Client(app.server) as client:
        for name in ("ann", "bob"):
            await said(client, "agents_register", name=name)
        await said(client, "locks_acquire", name="a", as_agent="ann")
        for body in ("x", "y"):
            await said(client, "messages_send", to="ann", body=body, as_agent="bob")
        text, _ = await said(client, "agents_control", agent_id="ann", action="pause")
        keeps = "it keeps: 1 lock, 2 unread messages"
        assert text.endswith(f", action='resume') ends that; {keeps}.")
        text, _ = await said(client, "agents_control", agent_id="ann", action="terminate", to_agent="bob")
        assert text.startswith("Agent ann is terminated; handed over: ")
        assert text.endswith("handed over: 1 lock, 2 unread messages.")


async def test_who_has_an_agent_leave_hears_what_its_heir_alone_may_do_what_anybody_may_and_what_waits_in_line(
    tmp_path: Path,
):
    async with open_app(settings(tmp_path)) as app, Client(app.server) as client:
        await said(client, "agents_register", name="ann", max_concurrent_tasks=3)
        _, bob = await said(client, "agents_register", name="bob")
        tasks = [{"title": "t"}, {"title": "u", "agent_id": "ann"}, {"title": "v", "agent_id": "ann"}]
        _, made = await said(client, "tasks_create", tasks=tasks)
        await said(client, "tasks_claim", agent_id="ann", max_tasks=3)
        text, told = await said(client, "agents_control", agent_id="ann", action="terminate", to_agent="bob")
        gives = f"""tasks_control(task_ids=["{made["tasks"][0]["id"]}"], action='assign', agent_id="bob")"""
        assert f"What it worked on is open to whoever can do it; {gives} gives it to bob alone." in text
        assert "But bob runs 1 at once, and 2 tasks are for it alone: they wait in line; agents_register(" in text
        heir = {"id": bob["agent"]["id"], "name": "bob", "running": 0, "capacity": 1, "pinned_tasks": 2}
        assert told["agent"]["heir"] == heir | {"status": "initializing"}


async def test_who_registers_one_agent_hears_that_it_speaks_from_then_on_and_of_several_that_none_does(
    tmp_path: Path,
):
    async with open_app(settings(tmp_path)) as app, Client(app.server) as client:
        text, told = await said(client, "agents_register", name="ann")
        assert text.endswith("Calls of this session without as_agent are spoken by it from now on.")
        assert told["agent"]["speaks"] is True
        text, sent = await said(client, "messages_send", to="ann", body="b")
        assert "That is yourself: ann speaks here; as_agent names another." in text
        thread = sent["message"]["thread_id"]
        refused = await client.call_tool("messages_send", {"thread_id": thread, "body": "b"})
        assert "Nobody but ann, who speaks here, takes part in the thread" in str(refused.content)
        text, told = await said(client, "agents_register", name="ann")
        assert "Calls of this session" not in text and "speaks" not in told["agent"]
        text, told = await said(client, "agents_register", name="bob")
        assert text.endswith("calls without as_agent are spoken by none of them from now on.")
        assert told["agent"]["speaks"] is False
        text, _ = await said(client, "messages_send", to="user:local", body="b")
        assert "That is yourself: user:local speaks here; as_agent names another." in text


async def test_of_many_tasks_the_creator_hears_the_titles_and_of_few_not(tmp_path: Path):
    async with open_app(settings(tmp_path)) as app, Client(app.server) as client:
        for count in (3, 4):
            tasks = [{"title": f"t{number}"} for number in range(count)]
            _, made = await said(client, "tasks_create", tasks=tasks)
            titles = [one.get("title") for one in made["tasks"]]
            assert titles == ([one["title"] for one in tasks] if count > 3 else [None] * count)


async def test_events_tell_the_title_of_the_task_that_they_are_about_once_of_each(tmp_path: Path):
    async with open_app(settings(tmp_path)) as app, Client(app.server) as client:
        await said(client, "agents_register", name="ann")
        _, made = await said(client, "tasks_create", tasks=[{"title": "Count the boxes"}])
        _, before = await said(client, "events_read")
        _, claimed = await said(client, "tasks_claim", agent_id="ann")
        held = {"task_id": made["tasks"][0]["id"], "lease_token": claimed["claims"][0]["lease_token"]}
        for _ in range(2):
            await said(client, "tasks_report", **held, progress={"percent": 5})
        _, read = await said(client, "events_read", after=before["cursor"])
        about = [one.get("about") for one in read["events"] if one["aggregate_type"] == "task"]
        assert about == ["Count the boxes", None, None]
        assert not any("about" in one for one in before["events"]), "what tells the title itself needs it not"
        _, read = await said(client, "events_read", aggregate_id=held["task_id"])
        assert not any("about" in one for one in read["events"])


async def test_of_a_time_that_is_over_and_saw_nothing_no_place_is_told_from_which_later_events_come(tmp_path: Path):
    async with open_app(settings(tmp_path)) as app, Client(app.server) as client:
        await said(client, "agents_register", name="ann")
        text, read = await said(client, "events_read", until="2001-01-01T00:00:00Z")
        assert text.startswith("0 events.") and "after=" not in text and "cursor" not in read


async def test_who_gets_a_blind_copy_and_what_a_reply_is_about_is_told_to_the_sender(tmp_path: Path):
    async with open_app(settings(tmp_path)) as app, Client(app.server) as client:
        _, first = await said(client, "email_send", **MAIL, bcc=["bob@example.org"], cc="cid@example.org")
        told = {name: first["email"].get(name) for name in ("to", "cc", "bcc", "subject")}
        assert told == {
            "to": ["ann@example.org"],
            "cc": ["cid@example.org"],
            "bcc": ["bob@example.org"],
            "subject": None,
        }
        _, reply = await said(client, "email_send", to=MAIL["to"], text="t", reply_to=first["email"]["id"])
        assert reply["email"]["subject"] == f"Re: {MAIL['subject']}"


async def test_what_is_handed_back_leaves_as_many_attempts_as_the_policy_says_and_that_is_told(tmp_path: Path):
    async with open_app(settings(tmp_path)) as app, Client(app.server) as client:
        for name in ("ann", "bob"):
            await said(client, "agents_register", name=name)
        _, made = await said(client, "tasks_create", tasks=[{"title": "t", "retry": {"max_attempts": 3}}])
        await said(client, "tasks_claim", agent_id="ann")
        id_ = made["tasks"][0]["id"]
        await said(client, "tasks_control", task_ids=[id_], action="assign", agent_id="bob")
        _, found = await said(client, "tasks_find", task_id=id_)
        told = found["task"]
        assert (told["attempt"], told["max_attempts"], told["attempts_not_counted"]) == (1, 4, 1)


async def test_who_hands_a_lock_over_hears_the_new_token_and_that_the_heir_has_to_be_told(tmp_path: Path):
    async with open_app(settings(tmp_path)) as app, Client(app.server) as client:
        _, ann = await said(client, "agents_register", name="ann", instance={"label": "one"})
        await said(client, "agents_register", name="bob")
        await said(client, "locks_acquire", name="a", as_agent="ann", owner=ann["instance_id"], ttl_seconds=3600)
        text, _ = await said(client, "locks_acquire", name="a", as_agent="bob")
        assert " s ago: free if it is not heard of until " in text and text.endswith("Call again with wait_seconds.")
        text, _ = await said(client, "locks_release", name="a", as_agent="ann", to_agent="bob")
        tie = f", no longer tied to {ann['instance_id']}"
        assert f'under fencing token 2{tie}. It is not told of that: messages_send(to=["bob"], body=...) does.' in text
        text, found = await said(client, "locks_find", agent_id="bob")
        (lock,) = found["locks"][0]["holders"]
        assert text == f"1 lock. agent:bob via user:local (until {lock['expires_at']}) holds a."
        assert found["locks"][0]["holders"][0]["fencing_token"] == 2 and found["locks"][0]["line"] == []


async def test_who_loses_a_lock_to_force_is_said_to_hear_of_it_late(tmp_path: Path):
    async with open_app(settings(tmp_path)) as app, Client(app.server) as client:
        for name in ("ann", "bob"):
            await said(client, "agents_register", name=name)
        for name in ("a", "b"):
            await said(client, "locks_acquire", name=name, as_agent="ann")
        text, done = await said(client, "locks_release", name="a", as_agent="bob", force=True)
        told = 'It hears of that when it next names the lock; messages_send(to=["ann"], body=...) tells it now.'
        assert text.endswith(f" {told}") and done["forced_from"] == "agent:ann via user:local"
        text, done = await said(client, "locks_release", name="b", as_agent="ann", force=True)
        assert "hears" not in text and "forced_from" not in done, "it is its own"


async def test_what_waits_for_the_retry_of_a_task_that_failed_is_named_where_something_does(tmp_path: Path):
    async with open_app(settings(tmp_path)) as app, Client(app.server) as client:
        await said(client, "agents_register", name="ann")
        after = [{"title": "c", "depends_on": ["#0"], "on_parent_failure": how} for how in ("cancel", "wait")]
        tasks = [{"title": "a"}, *after, {"title": "b"}]
        _, made = await said(client, "tasks_create", tasks=tasks)
        waits = made["tasks"][2]["id"]
        for names, end in (
            ("a", f"retry') does, and what depends on it waits for that: {waits}."),
            ("b", "retry') does."),
        ):
            (claim,) = (await said(client, "tasks_claim"))[1]["claims"]
            error = {"message": names, "retryable": False}
            lease = {"task_id": claim["task"]["id"], "lease_token": claim["lease_token"]}
            text, _ = await said(client, "tasks_finish", **lease, outcome="failed", error=error)
            assert text.endswith(end)


async def test_a_worker_whose_task_is_called_off_is_told_how_to_end_it(tmp_path: Path):
    async with open_app(settings(tmp_path)) as app, Client(app.server) as client:
        await said(client, "agents_register", name="ann")
        _, made = await said(client, "tasks_create", tasks=[{"title": "t"}])
        (claim,) = (await said(client, "tasks_claim"))[1]["claims"]
        await said(client, "tasks_control", task_ids=[made["tasks"][0]["id"]], action="cancel")
        lease = {"task_id": claim["task"]["id"], "lease_token": claim["lease_token"]}
        text, _ = await said(client, "tasks_report", **lease)
        assert "outcome='failed' with an error that says where you stopped ends it as cancelled" in text
        text, _ = await said(client, "tasks_finish", **lease, outcome="failed", error={"message": "half of it"})
        assert text.startswith("It is cancelled")


async def test_events_say_whether_more_are_there_or_none_yet(tmp_path: Path):
    async with opened(f"sqlite:///{tmp_path / 'desk.db'}") as (client, _):
        for limit, says in (
            (1, "More is there: go on with after="),
            (100, "That is all; later ones come"),
        ):
            text, told = await said(client, "events_read", limit=limit)
            assert says in text and told.get("more", False) is (limit == 1)


async def test_what_ends_with_several_attempts_is_no_members_argument_and_the_refusal_says_what_does_it(tmp_path: Path):
    """No advice that is refused itself: every other argument may stand in a member, as it says."""
    member = {"task_id": "task_bbbbbbbbbbbb", "lease_token": "x", "outcome": "completed"}
    beside = {
        "also": [{"tool": "locks_release", "arguments": {"name": "l"}}],
        "result": 1,
        "usage": {"input_tokens": 1},
    }
    async with opened(f"sqlite:///{tmp_path / 'desk.db'}") as (client, _):
        for name, value in beside.items():
            arguments = {"tasks": [member], name: value}
            error = ((await client.call_tool("tasks_finish", arguments)).structured_content or {})["error"]
            assert error["code"] == "validation"
            inside = (
                (await client.call_tool("tasks_finish", {"tasks": [member | {name: value}]})).structured_content
            ) or {}
            assert ("into one of its members" in error["message"]) is (
                inside.get("error", {}).get("code") != "validation"
            )
            assert name != "also" or ("commit" in error["message"] and "Such as" not in error["message"])


async def test_an_action_says_how_the_tasks_stand_now(tmp_path: Path):
    async with open_app(settings(tmp_path)) as app, Client(app.server) as client:
        specs = [{"title": "one"}, {"title": "nightly", "schedule": {"cron": "0 3 * * *"}}]
        _, made = await said(client, "tasks_create", tasks=specs)
        one, nightly = (task["id"] for task in made["tasks"])
        text, _ = await said(client, "tasks_control", task_ids=[one, nightly], action="pause")
        assert text == f"2 changed: {one} is paused; {nightly} is paused."
        later = {"task_ids": [nightly], "action": "reschedule", "run_at": "2040-01-01T00:00:00Z"}
        text, _ = await said(client, "tasks_control", **later)
        assert text.endswith("; it is paused, and fires once it is resumed.")
        text, _ = await said(client, "tasks_control", task_ids=[nightly], action="resume")
        assert text == f"1 changed: {nightly} fires next at 2040-01-01T03:00:00.000Z."
        rest = {"task_ids": [one, nightly], "action": "pause", "run_at": "2041-01-01T00:00:00Z"}
        await said(client, "tasks_control", task_ids=[one], action="resume")
        text, _ = await said(client, "tasks_control", **rest)
        assert "2041-01-01T00:00:00.000Z" in text and "nightly fires next at".replace("nightly", nightly) in text
        assert "paused" not in text, "it goes on by itself then, which a pause does not"
        _, made = await said(client, "tasks_create", tasks=[{"title": str(number)} for number in range(4)])
        four = [task["id"] for task in made["tasks"]]
        text, _ = await said(client, "tasks_control", task_ids=four, action="cancel")
        assert text == "4 changed: 4 cancelled."


async def test_a_list_says_how_many_stand_how(tmp_path: Path):
    async with opened(f"sqlite:///{tmp_path / 'desk.db'}") as (client, _):
        _, made = await said(client, "tasks_create", tasks=[{"title": "t", "kind": "sorted"}] * 3)
        await said(client, "tasks_control", task_ids=[made["tasks"][0]["id"]], action="cancel")
        text, _ = await said(client, "tasks_find", kind="sorted")
        assert text.startswith("3 tasks: 2 queued, 1 cancelled.")
        text, _ = await said(client, "tasks_find", kind="sorted", status="queued", limit=1)
        assert text.startswith("1 task; 1 more behind next_cursor.")
        for title in ("May I?", "And now?"):
            await said(client, "approvals_request", title=title, action="a", approvers=["ann@example.org"])
        text, _ = await said(client, "approvals_find")
        assert text.startswith("2 approvals: 2 pending.")


async def test_a_question_says_who_is_missing_and_that_no_link_was_mailed(tmp_path: Path):
    ask = {"title": "t", "action": "a", "approvers": ["local", "boss@example.org"], "quorum": "all"}
    allowed = settings(tmp_path, user="local", email_allow="*@example.org")

    async def yes(*_: object) -> ElicitResult:
        return ElicitResult(action="accept", content={"approve": True})

    async with open_app(allowed) as app, Client(app.server, elicitation_callback=yes) as client:
        text, asked = await said(client, "approvals_request", **ask)
        assert "But no link was mailed to boss@example.org: mails stay on this machine here, which" in text
        assert "asked before" not in text
        again = ask | {"idempotency_key": "k", "choices": ["now", "later"]}
        for begins in ("no link was mailed", "it was asked before, at 20"):
            text, told = await said(client, "approvals_request", **again)
            assert f"But {begins}" in text and 'It takes one of "now", "later".' in text
            assert told["approval"]["choices"] == ["now", "later"]
        text, decided = await said(client, "approvals_decide", approval_id=asked["approval"]["id"])
        assert "1 answered, 2 must approve; " in text and "boss@example.org" in text
        assert decided["approval"]["not_answered"] == ["boss@example.org"]


async def test_who_lets_a_task_start_is_told_that_it_can_be_claimed_or_what_it_still_waits_for(tmp_path: Path):
    async def yes(*_: object) -> ElicitResult:
        return ElicitResult(action="accept", content={"approve": True})

    async with open_app(settings(tmp_path)) as app, Client(app.server, elicitation_callback=yes) as client:
        now, later = {"title": "a", "requires_approval": True}, {"title": "b", "requires_approval": True}
        _, made = await said(client, "tasks_create", tasks=[now, later | {"run_at": "2099-01-01T00:00:00Z"}])
        for task, words in zip(made["tasks"], ("can be claimed now.", "still waits for its time, 2099"), strict=True):
            text, _ = await said(client, "approvals_decide", approval_id=task["id"])
            assert f"{task['id']} {words}" in text
        _, asked = await said(client, "approvals_request", title="t", action="a")
        text, _ = await said(client, "approvals_decide", approval_id=asked["approval"]["id"])
        assert "can be claimed" not in text


async def test_a_choice_is_neither_granted_nor_refused_whatever_it_says(tmp_path: Path):
    async def never(*_: object) -> ElicitResult:
        return ElicitResult(action="accept", content={"choice": "never"})

    async with open_app(settings(tmp_path)) as app, Client(app.server, elicitation_callback=never) as client:
        _, asked = await said(client, "approvals_request", title="When?", choices=["now", "never"])
        text, decided = await said(client, "approvals_decide", approval_id=asked["approval"]["id"])
        assert text.endswith('is answered: "never".')
        (answer,) = decided["approval"]["answers"]
        assert answer["choice"] == "never" and "granted" not in answer


async def test_what_a_call_writes_stands_in_what_it_says_to_people(tmp_path: Path):
    document = {"namespace": "n", "key": "k"}
    calls = [
        {"tool": "state_set", "arguments": document | {"value": {"rate": 5}}},
        {"tool": "state_patch", "arguments": document | {"merge_patch": {"rate": 7}}},
    ]
    async with open_app(settings(tmp_path)) as app, Client(app.server) as client:
        _, asked = await said(client, "approvals_request", title="t", calls=calls)
        one, two = asked["approval"]["says"]
        assert one.startswith("""Write document n/k as {"rate":5},""")
        assert two.startswith("""Change /rate in document n/k by {"rate":7}.""")


async def test_a_history_with_a_diff_says_what_each_version_changed(tmp_path: Path):
    document = {"namespace": "n", "key": "k"}
    async with open_app(settings(tmp_path)) as app, Client(app.server) as client:
        for value in ({"a": 1}, {"a": 2}, {"a": 2, "b": 1}):
            await said(client, "state_set", **document, value=value)
        text, told = await said(client, "state_history", **document, diff=True)
        assert text.startswith("3 versions, the last of them 3 by ") and "`changed_values` of each" in text
        assert [one.get("changed_paths") for one in told["versions"]] == [["/b"], ["/a"], None]
        changed = [one.get("changed_values") for one in told["versions"]]
        assert changed == [{"/b": {"new": 1}}, {"/a": {"old": 1, "new": 2}}, None]
        text, told = await said(client, "state_history", **document, from_version=1, to_version=2)
        assert text.startswith("2 versions of 3, the last of them 2 by ") and "changed_paths" not in told["versions"][0]


async def test_an_empty_search_for_several_words_says_that_they_are_one_phrase(tmp_path: Path):
    async with open_app(settings(tmp_path)) as app, Client(app.server) as client:
        await said(client, "state_set", namespace="n", key="k", value="Ostia and the Vatican")
        for tool in ("state_find", "tasks_find"):
            text, _ = await said(client, tool, text="Vatican Ostia")
            assert text.endswith('`text` is one phrase: try one word of it, such as "Vatican".')
        text, _ = await said(client, "state_find", text="Rome")
        assert "phrase" not in text


async def test_who_reads_what_is_to_be_acknowledged_is_told_how_and_its_sender_is_not(tmp_path: Path):
    async with open_app(settings(tmp_path)) as app, Client(app.server) as client:
        for name in ("ann", "bob"):
            await said(client, "agents_register", name=name)
        text, sent = await said(client, "messages_send", as_agent="ann", to="bob", body="b", ack_within_seconds=60)
        assert "No instance lives" not in text, "nobody knows whether one is here that never had an instance"
        asked = f"To be acknowledged by messages_read(acknowledge=[...]): {sent['message']['id']}."
        for arguments, is_asked in (({"as_agent": "ann", "sent": True}, False), ({"as_agent": "bob"}, True)):
            text, _ = await said(client, "messages_read", **arguments)
            assert text.endswith(asked) is is_asked
            assert ("Not acknowledged by bob: an answer does not, " in text) is not is_asked
        text, _ = await said(client, "messages_read", as_agent="bob", acknowledge=[sent["message"]["id"]])
        assert asked not in text


async def test_a_plan_is_told_on_one_line(tmp_path: Path):
    services = [{"name": "web", "image": "nginx:1.27", "ports": [80]}]
    async with open_app(settings(tmp_path)) as app, Client(app.server) as client:
        _, made = await said(
            client, "deployments_define", name="shop", target="kubernetes", environment="test", services=services
        )
        text, _ = await said(client, "deployments_plan", deployment_id=made["deployment"]["id"])
        assert text.startswith("To apply revision 1: 1. ") and "\\n" not in text and ". Nothing was touched." in text


async def test_a_list_says_of_what_has_ended_when_and_with_what_and_how_what_is_long_begins(tmp_path: Path):
    async with open_app(settings(tmp_path)) as app, Client(app.server) as client:
        await said(client, "agents_register", name="ann", max_concurrent_tasks=3)
        await said(client, "tasks_create", tasks=["open", "short", "long"])
        _, claimed = await said(client, "tasks_claim", max_tasks=3)
        works = {one["task"]["title"]: one for one in claimed["claims"]}
        for title, result in (("short", {"ok": True}), ("long", "x" * 200)):
            held = {"task_id": works[title]["task"]["id"], "lease_token": works[title]["lease_token"]}
            await said(client, "tasks_finish", **held, result=result)
        for narrowed in ({}, {"status": "completed"}):
            _, found = await said(client, "tasks_find", **narrowed)
            told = {one["title"]: (one.get("result"), "finished_at" in one) for one in found["tasks"]}
            open_one = {} if narrowed else {"open": (None, False)}
            assert told == open_one | {"short": ({"ok": True}, True), "long": (f"{'x' * 80}… (200 characters)", True)}


async def test_what_was_sent_tells_who_has_read_it_and_an_inbox_what_is_urgent(tmp_path: Path):
    async with open_app(settings(tmp_path)) as app, Client(app.server) as client:
        for name in ("ann", "bob", "eve"):
            await said(client, "agents_register", name=name)
        _, sent = await said(client, "messages_send", to=["ann", "bob"], body="b", importance="urgent", as_agent="eve")
        await said(client, "messages_send", to=["ann"], body="b", as_agent="eve")
        id_ = sent["message"]["id"]
        text, _ = await said(client, "messages_read", as_agent="ann")
        assert text == f"2 messages. 0 unread. Urgent: {id_}."
        text, read = await said(client, "messages_read", sent=True, as_agent="eve")
        newest = read["messages"][0]["id"]
        assert text == f"2 messages. {newest} is read by 1 of 1. {id_} is read by 1 of 2; not by bob."


async def test_an_open_question_says_who_is_missing_until_when_and_how_to_remind_them(tmp_path: Path):
    ask = {"title": "t", "action": "a", "approvers": ["ann@example.org", "bob"]}
    async with open_app(settings(tmp_path)) as app, Client(app.server) as client:
        _, asked = await said(client, "approvals_request", **ask)
        task_id, until = asked["approval"]["task_id"], asked["approval"]["expires_at"]
        text, _ = await said(client, "approvals_find", approval_id=asked["approval"]["id"])
        waits = f" is pending. ann@example.org, bob did not answer yet. Unanswered by {until}, {task_id} is cancelled."
        assert f"{waits} They are reminded at " in text and f"once it is asked again with task_id='{task_id}'." in text
        text, told = await said(client, "approvals_request", **ask, task_id=task_id)
        assert " is pending. Reminded, once: ann@example.org, bob; " in text and told["approval"]["reminded"]
        text, told = await said(client, "approvals_find", approval_id=asked["approval"]["id"])
        assert text.split("\n")[0].endswith(waits) and "reminds_at" not in told["approval"]


async def test_a_question_that_ended_is_not_said_to_be_asked_again_under_its_key(tmp_path: Path):
    async with open_app(settings(tmp_path)) as app, Client(app.server) as client:
        question = {"title": "Deploy", "action": "Deploy v7", "idempotency_key": "once"}
        text, asked = await said(client, "approvals_request", **question)
        approval = asked["approval"]
        assert text.endswith(f"Unanswered by {approval['expires_at']}, {approval['task_id']} is cancelled.")
        await said(client, "tasks_control", task_ids=[approval["task_id"]], action="cancel")
        text, _ = await said(client, "approvals_request", **question)
        assert text == (
            f"{approval['id']} is withdrawn. It was withdrawn by user:local. It was asked under this key before, and "
            "nothing was asked now: a new key asks anew."
        )
        refused = await client.call_tool("approvals_request", question | {"action": "Deploy v8"})
        assert "That one is withdrawn since " in refused.content[0].text  # type: ignore[union-attr]
