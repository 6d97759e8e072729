"""What `doctor` says of calls."""

from pathlib import Path

import pytest

from mcp_server.calling import call_policy, ice_servers, inspect_calls
from mcp_server.config import load_settings
from mcp_server.kernel.errors import ValidationFailed


def test_doctor_says_who_reaches_calls_and_whether_they_have_a_voice(tmp_path: Path):
    here = load_settings(database=f"sqlite:///{tmp_path / 'd.db'}")
    assert "others need TURN" in inspect_calls(here).detail and "only written" in inspect_calls(here).detail
    voiceless = load_settings(calls_speech="no-such-command,--stdout")
    found = inspect_calls(voiceless)
    assert not found.ok and "no-such-command" in found.detail
    through = load_settings(
        turn_servers="turn:turn.example.org:3478", turn_username="u", turn_password="p", calls_speech="cat"
    )
    assert inspect_calls(through).ok and "turn:turn.example.org" in inspect_calls(through).detail


def test_doctor_says_how_to_get_what_calls_need(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("mcp_server.calling.find_spec", lambda name: None)
    found = inspect_calls(load_settings())
    assert found.warns and "[calls]" in (found.remedy or "")


@pytest.mark.parametrize(
    "command",
    [
        ("sh", "-c", "espeak-ng --stdout '{text}'"),
        ("/bin/bash", "-c", "{text}"),
        ("cmd.exe", "/c", "{text}"),
        ("bash", "-c", "espeak-ng --stdout", "{text} again"),
    ],
)
def test_what_an_agent_says_is_no_part_of_a_script(command: tuple[str, ...]):
    settings = load_settings(calls_speech=command)
    with pytest.raises(ValidationFailed, match="run whatever an agent says"):
        call_policy(settings)
    assert not inspect_calls(settings).ok


@pytest.mark.parametrize(
    "command",
    [
        ("sh", "-c", 'espeak-ng --stdout -- "$1"', "speak", "{text}"),
        ("sh", "-c", "espeak-ng --stdin --stdout | sox - -"),
        ("espeak-ng", "--stdout", "{text}"),
        ("speak", "--text={text}"),
    ],
)
def test_a_text_may_be_an_argument_or_come_on_stdin(command: tuple[str, ...]):
    assert call_policy(load_settings(calls_speech=command)).speaks


def test_no_server_is_asked_unless_it_is_set_and_turn_takes_a_name_and_a_password():
    assert ice_servers(load_settings()) == ()
    turn = {"turn_servers": "turns:t.example.org?transport=tcp", "turn_username": "u", "turn_password": "p"}
    both = load_settings(stun_servers="stun:s.example.org", **turn)
    assert [one.told() for one in call_policy(both).ice_servers] == [
        {"urls": ["stun:s.example.org"]},
        {"urls": ["turns:t.example.org?transport=tcp"], "username": "u", "credential": "p"},
    ]
    for wrong in (
        {"stun_servers": "turn:t.example.org"},
        {"turn_servers": "turn:t.example.org"},
        {"stun_servers": "x"},
    ):
        with pytest.raises(ValidationFailed):
            ice_servers(load_settings(**wrong))
