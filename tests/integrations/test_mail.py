"""From settings to mail: what is missing is named, and secrets come from where they may."""

from pathlib import Path
from typing import Any

import pytest

from mcp_server.config import Settings, load_settings, secret
from mcp_server.integrations.file_outbox import FileOutbox
from mcp_server.integrations.mailers import LazyMailer, make_mailer
from mcp_server.integrations.sendgrid import SendGridMailer
from mcp_server.integrations.smtp import SmtpMailer
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.wiring import email_policy, links_base, mailer_options, outbox_folder

pytestmark = pytest.mark.anyio
SMTP: dict[str, Any] = {"email_provider": "smtp", "email_from": "a@b.org", "smtp_host": "h"}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"email_provider": "smtp"}, "DATAMCP_EMAIL_FROM"),
        ({"email_provider": "smtp", "email_from": "a@b.org"}, "DATAMCP_SMTP_HOST"),
        ({"email_provider": "sendgrid", "email_from": "a@b.org"}, "DATAMCP_SENDGRID_API_KEY"),
        ({"email_provider": "sendgrid", "email_from": "a@b.org", "sendgrid_api_key_file": "/none"}, "cannot be read"),
        ({"email_from": "nonsense"}, "not an email address"),
    ],
)
def test_a_setting_that_is_missing_or_wrong_is_named(settings: dict[str, Any], says: str):
    with pytest.raises(ValidationFailed, match=says):
        email_policy(load_settings(**settings))


def test_a_secret_comes_from_the_environment_or_a_file_and_shows_nowhere(tmp_path: Path, monkeypatch: Any):
    file = tmp_path / "secret"
    file.write_text(" from the file\n")
    monkeypatch.setenv("DATAMCP_SMTP_PASSWORD", "from the environment")
    settings = load_settings(**SMTP)
    assert secret(settings.smtp.password, file, "SMTP_PASSWORD") == "from the environment"
    assert "from the environment" not in repr(settings) + str(settings) + repr(mailer_options(settings))
    assert secret(None, file, "SMTP_PASSWORD") == "from the file"
    assert secret(None, None, "SMTP_PASSWORD") is None
    file.write_text(" \n")
    with pytest.raises(ValidationFailed, match="is empty"):
        secret(None, file, "SMTP_PASSWORD")


def test_the_port_is_the_usual_one_unless_said_otherwise():
    for said, port in (({}, 587), ({"smtp_tls": "tls"}, 465), ({"smtp_tls": "none"}, 25), ({"smtp_port": 2525}, 2525)):
        mailer = make_mailer(mailer_options(load_settings(**SMTP, **said)))
        assert isinstance(mailer, SmtpMailer) and mailer._options.port == port


async def test_the_provider_is_opened_at_its_first_use(tmp_path: Path):
    made: list[Settings] = []
    lazy = LazyMailer(lambda: made.append(load_settings()) or FileOutbox(tmp_path))  # type: ignore[func-returns-value]
    await lazy.close()
    assert made == [] and lazy() is lazy() and len(made) == 1
    await lazy.close()
    sendgrid = {"email_provider": "sendgrid", "email_from": "a@b.org", "sendgrid_api_key": "SG.x"}
    for settings, kind in ((SMTP, SmtpMailer), (sendgrid, SendGridMailer), ({}, FileOutbox)):
        mailer = make_mailer(mailer_options(load_settings(**settings)))
        assert isinstance(mailer, kind)
        await mailer.close()


def test_the_outbox_lies_beside_the_database_unless_said_otherwise(tmp_path: Path):
    assert outbox_folder(load_settings(database=f"sqlite:///{tmp_path}/desk.db")) == tmp_path / "outbox"
    assert outbox_folder(load_settings(email_outbox=tmp_path / "out")) == tmp_path / "out"
    assert outbox_folder(load_settings(database="postgresql://h/n")).name == "outbox"


async def test_an_outbox_that_cannot_be_written_is_a_temporary_failure(tmp_path: Path):
    from tests.integrations.test_smtp import mail, statuses

    async def hand_over() -> None:
        raise AssertionError("nothing is handed over to a folder")

    (tmp_path / "file").write_text("")
    report = await FileOutbox(tmp_path / "file" / "outbox").send(mail(), ["ann@example.org"], hand_over)
    assert statuses(report) == {"ann@example.org": "deferred"}
    outbox = FileOutbox(tmp_path / "outbox")
    told = [report, *[await outbox.send(mail(), ["ann@example.org"], hand_over) for _ in range(2)]]
    assert "Written to email_1.eml in the outbox folder" in str(told[-1].outcomes)
    assert str(tmp_path) not in str(told), "whoever asks what became of a mail is not told where mails lie"
    assert [path.name for path in (tmp_path / "outbox").iterdir()] == ["email_1.eml"]


async def test_whoever_reads_of_a_mail_is_not_told_where_on_this_machine_it_lies(tmp_path: Path):
    from tests.integrations.test_smtp import mail

    async def hand_over() -> None:
        raise AssertionError("nothing is handed over to a folder")

    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file" / "outbox", tmp_path / "outbox"):
        report = await FileOutbox(folder).send(mail(), ["ann@example.org"], hand_over)
        assert "outbox folder" in str(report) and str(tmp_path) not in str(report)


def test_links_begin_where_people_reach_the_server():
    assert links_base(load_settings()) is None
    assert links_base(load_settings(console_port=8766)) == "http://127.0.0.1:8766"
    assert links_base(load_settings(transport="http", port=80)) == "http://127.0.0.1:80"
    assert links_base(load_settings(public_url="https://d.org", console_port=1)) == "https://d.org"
    with pytest.raises(ValidationFailed, match="DATAMCP_PUBLIC_URL"):
        links_base(load_settings(public_url="d.org"))
