"""What `serve` refuses about settings, and that `doctor` says the same."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from mcp_server.app import open_app, open_desk
from mcp_server.commands.doctor import run_doctor
from mcp_server.config import Settings, load_settings
from mcp_server.domain.approvals.rules import Rules
from mcp_server.domain.deployments.chores import Mirrors
from mcp_server.kernel.errors import OpsError
from mcp_server.late import RULES
from mcp_server.wiring import refusals

pytestmark = pytest.mark.anyio

MAIL: dict[str, Any] = {"email_from": "desk@example.org"}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"tokens_file": "/none/tokens.toml"}, "The token file /none/tokens.toml cannot be read"),
    ({"toolsets": "bogus"}, "There is no toolset bogus"),
    ({"exclude_tools": "bogus"}, "There is no tool bogus"),
    ({"email_provider": "smtp", "smtp_host": "h"}, "needs a sender. Set DATAMCP_EMAIL_FROM"),
    ({"email_provider": "smtp"} | MAIL, "needs a server. Set DATAMCP_SMTP_HOST"),
    ({"email_provider": "smtp", "smtp_host": "h", "smtp_password_file": "/none"} | MAIL, "/none, cannot be read"),
    ({"email_provider": "sendgrid"} | MAIL, "needs a key. Set DATAMCP_SENDGRID_API_KEY"),
    ({"email_from": "nonsense"}, "not an email address"),
    ({"public_url": "desk.example.org"}, "Set DATAMCP_PUBLIC_URL"),
    ({"transport": "http", "host": "0.0.0.0"}, "Refusing to listen on 0.0.0.0 without authentication"),
    ({"transport": "http", "sendgrid_webhook_key": "x"}, "DATAMCP_SENDGRID_WEBHOOK_KEY is not"),
]


@pytest.mark.parametrize(("flags", "says"), REFUSED, ids=[says for _, says in REFUSED])
async def test_doctor_finds_what_serve_refuses(flags: dict[str, Any], says: str, tmp_path: Path, capsys: Any):
    flags = flags | {"database": f"sqlite:///{tmp_path}/desk.db"}
    with pytest.raises(OpsError) as refused:
        async with open_app(load_settings(**flags)):
            pass
    assert says in refused.value.message and not (tmp_path / "desk.db").exists()
    assert run_doctor(flags, as_json=False) == 2
    told = capsys.readouterr().out
    assert f"FAIL settings: {refused.value.message}" in told and "there are problems" in told


def test_every_refusal_is_told_once():
    settings = load_settings(email_provider="smtp", toolsets="bogus", email_from="a@b.org", public_url="x")
    assert len(refusals(settings)) == 3


def test_settings_that_can_be_served_are_not_refused(tmp_path: Path):
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(f'[[tokens]]\nsha256 = "{"0" * 64}"\nkind = "user"\nid = "ann"\nrole = "viewer"\n')
    for flags in ({}, {"transport": "http"}, {"transport": "http", "host": "0.0.0.0", "tokens_file": str(tokens)}):
        assert refusals(load_settings(**flags)) == []


async def test_what_is_made_late_of_the_settings_is_what_it_is_called_after(tmp_path: Path):
    said = {"database": f"sqlite:///{tmp_path}/desk.db", "mirrors": {"flags": {"kv": "0" * 32}}}
    async with open_desk(Settings.model_validate(said)) as desk:
        assert len(desk.later) == 12
        for kind in desk.later:
            assert desk.made(kind) is None
            module, _, name = kind.partition(":")
            found = getattr(import_module(module), name)
            assert type(desk.option(found)) is found and desk.made(kind) is desk.option(found)
        assert desk.option(Mirrors).known == {"flags": "0" * 32}


async def test_a_server_with_rules_guards_its_writes_and_one_without_knows_none(tmp_path: Path):
    for approve in ([], [{"tool": "state_set", "approvers": ["ann"]}]):
        said = {"database": f"sqlite:///{tmp_path}/desk.db", "approve": approve}
        async with open_desk(Settings.model_validate(said)) as desk:
            assert (desk.made(RULES) is not None) == bool(approve)
            assert len(desk.option(Rules).all) == len(approve)


@pytest.mark.slow
def test_a_server_without_launchers_loads_nothing_that_supervises():
    code = (
        "import sys, asyncio, tempfile\n"
        "from mcp_server.app import open_app\n"
        "from mcp_server.config import load_settings\n"
        "async def main():\n"
        "    async with open_app(load_settings(database='sqlite:///' + tempfile.mkdtemp() + '/desk.db')):\n"
        "        names = [task.get_coro().__qualname__ for task in asyncio.all_tasks()]\n"
        "        assert not [name for name in names if 'upervis' in name or 'caler' in name], names\n"
        "asyncio.run(main())\n"
        "loaded = [name for name in sys.modules if 'supervisor' in name or 'autoscaler' in name or 'gate' in name]\n"
        "assert not [name for name in loaded if name.startswith('mcp_server.')], loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
