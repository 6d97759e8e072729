"""From settings to what the parts are built with; and what `serve` refuses, before anything is opened."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mcp_server.calling import ice_servers
from mcp_server.config import Settings, secret
from mcp_server.config.places import beside_the_database
from mcp_server.domain.approvals.principals import KEYS, Principals, realm_of
from mcp_server.domain.desk import Desk
from mcp_server.domain.email.policy import SENDER_DEFAULT, EmailPolicy
from mcp_server.domain.operating.model import InForce
from mcp_server.integrations.mailers import MailerOptions, OutboxOptions, SendGridOptions, SmtpServerOptions
from mcp_server.kernel.addresses import check_address
from mcp_server.kernel.authority import Actor
from mcp_server.kernel.errors import OpsError, ValidationFailed
from mcp_server.kernel.limits import Limits, Most
from mcp_server.kernel.store import Database
from mcp_server.persistence.database import sqlite_file
from mcp_server.protocol.offer import Offer

if TYPE_CHECKING:
    from mcp_server.domain.approvals.model import ApprovalPolicy
    from mcp_server.domain.approvals.rules import Rules
    from mcp_server.integrations.sendgrid import EventWebhook
    from mcp_server.protocol.bearers import Verifier
    from mcp_server.protocol.http import HttpOptions


def refusals(settings: Settings) -> list[OpsError]:
    """What `serve` refuses about these settings, each by itself."""
    checks: list[Callable[[Settings], object]] = [
        *(_offered, tokens, email_policy, mailer_options, links_base),
        *(*_of_what_is_declared(settings), ice_servers),
    ]
    if settings.transport != "stdio":  # the modules behind these are HTTP's alone
        from mcp_server.issuing import believed

        checks += [_safe_bind, webhook, believed]
    found: dict[str, OpsError] = {}
    for check in checks:
        try:
            check(settings)
        except OpsError as error:
            found.setdefault(error.message, error)
    return list(found.values())


def _of_what_is_declared(settings: Settings) -> "list[Callable[[Settings], object]]":
    """The checks of what runs elsewhere and of rules; none for the most, who declare nothing of it."""
    if not (settings.targets or settings.launchers or settings.mirrors or settings.approve):
        return []
    from mcp_server.deploying import declared_targets, launchers, mirrors_account, programs

    return [declared_targets, programs, launchers, mirrors_account, rules]


def require_servable(settings: Settings) -> None:
    """Refuse settings with which nothing can be served.

    Raises:
        OpsError: the first of the refusals.
    """
    for refusal in refusals(settings):
        raise refusal


def offer(settings: Settings) -> Offer:
    """Which part of the catalogues is offered."""
    return Offer(settings.toolsets, settings.exclude_tools, settings.read_only)


def tokens(settings: Settings) -> object:
    """What the token file of 0.1.0 says, where there is one for HTTP; refused before anything is opened.

    Raises:
        ValidationFailed: the file cannot be read or does not hold tokens.
    """
    if settings.tokens_file is None:
        return None
    from mcp_server.protocol.keys import read_tokens

    return read_tokens(settings.tokens_file)


async def asks_for_keys(database: Database, settings: Settings) -> bool:
    """Whether whoever comes over HTTP is asked for a key: as soon as one was ever made here."""
    if settings.transport == "stdio":
        return False
    return settings.tokens_file is not None or bool(settings.issuers) or await database.fetch_one("any_key") is not None


async def verifiers(desk: Desk, settings: Settings) -> "tuple[Verifier, ...]":
    """Who can tell whom a bearer token stands for; nobody where everybody on this machine is let in. The tokens of the
    token file become keys first.

    Raises:
        ValidationFailed: the file cannot be read or does not hold tokens.
    """
    if settings.transport == "stdio" or desk.option(Principals).realm != KEYS:
        return ()
    from mcp_server.issuing import issued_tokens
    from mcp_server.protocol.keys import KeyBearers, TokenFile

    file = None if settings.tokens_file is None else TokenFile(desk, settings.tokens_file)
    if file is not None:
        await file.look()
    return (*issued_tokens(desk, settings), KeyBearers(desk, file))


def rules(settings: Settings) -> "Rules":
    """Which calls wait for whom.

    Raises:
        ValidationFailed: a rule that makes no sense, or would never name a call.
    """
    from mcp_server.deploying import approve_rules
    from mcp_server.protocol.guarding import require_sense

    known = approve_rules(settings)
    for number, rule in enumerate(known.all, 1):
        require_sense(number, rule)
    return known


def rules_in_force(settings: Settings) -> InForce:
    """The rules as they are recorded."""
    if not settings.approve:
        return InForce()
    import hashlib  # most servers have no rules

    text = "".join(rule.model_dump_json() for rule in settings.approve)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return InForce(digest, tuple(rule.tool for rule in settings.approve))


def principals(settings: Settings, *, asks_keys: bool = False) -> Principals:
    """Who calls this process, and what they can do now; of those with keys, what the settings let them do at most."""
    may = settings.role.permissions
    if asks_keys:
        return Principals(KEYS, lambda _: may)
    local = Actor(kind="user", id=settings.user, permissions=may, is_local=True)
    return Principals(realm_of(local), lambda label: may if label == local.label else frozenset())


def http_options(settings: Settings, *verifiers: "Verifier") -> "HttpOptions":
    """Where to listen, and whom to let in: everybody on this machine where there is nobody who can tell."""
    from mcp_server.issuing import in_trouble, protected_resource
    from mcp_server.protocol.bearers import Verifiers
    from mcp_server.protocol.http import HttpOptions
    from mcp_server.protocol.kept_out import note

    verifier = Verifiers(*verifiers, refused=note) if verifiers else None
    resource, troubled = protected_resource(settings), in_trouble(verifiers)
    return HttpOptions(settings.host, settings.port, host_names(settings), verifier, resource, troubled)


def host_names(settings: Settings) -> tuple[str, ...]:
    """What people and programs elsewhere call this server: what the operator says, and where its links lead."""
    public = urlsplit(settings.public_url or "").netloc
    without_port = re.sub(r":\d*$", "", public)  # a proxy may say either
    return (*settings.allowed_hosts, *dict.fromkeys(filter(None, (public, without_port))))


def limits(settings: Settings) -> Limits:
    """What counts what each caller has and does."""
    most = settings.limits.model_dump()
    return Limits(Most(body_bytes=most.pop("body_mb") * 1024 * 1024, **most))


def webhook(settings: Settings) -> "EventWebhook | None":
    """What reads SendGrid's webhook; None where no key is set.

    Raises:
        ValidationFailed: the key is none.
    """
    if settings.sendgrid.webhook_key is None:
        return None
    from mcp_server.integrations.sendgrid import EventWebhook

    return EventWebhook(settings.sendgrid.webhook_key)


def email_policy(settings: Settings) -> EmailPolicy:
    """What the operator allows.

    Raises:
        ValidationFailed: a setting that the provider needs is missing, or is no address.
    """
    email = settings.email
    if email.provider != "file" and email.sender is None:
        raise ValidationFailed(f"The email provider {email.provider} needs a sender.", next="Set DATAMCP_EMAIL_FROM.")
    if email.provider == "smtp":
        _smtp_host(settings)  # not the password: who decides about an approval need not be able to read it
    if email.provider == "sendgrid":
        _sendgrid(settings)
    if email.sender is not None:
        check_address(email.sender)
    return EmailPolicy(
        provider=email.provider,
        sender=email.sender or SENDER_DEFAULT,
        allow=email.allow,
        per_hour=email.per_hour,
        approvers=email.approvers,
    )


def approval_policy(settings: Settings) -> "ApprovalPolicy":
    """Who may be asked, and where people decide.

    Raises:
        ValidationFailed: the public address is not one of the web.
    """
    from mcp_server.domain.approvals.model import ApprovalPolicy  # most servers ask nobody

    email = email_policy(settings)
    # The address of another database may hold a password.
    scheme, is_here, path = settings.database_url.partition("sqlite:///")
    here = f"sqlite:///{Path(path).expanduser().absolute()}"
    command = f"data-mcp-server-agent approvals approve --database {shlex.quote(here)}"
    return ApprovalPolicy(
        allow=email.allow,
        approvers=(*email.approvers, *(person for rule in settings.approve for person in rule.approvers)),
        links_base=links_base(settings),
        mails_leave=email.provider != "file",
        command_line=command if is_here and not scheme else None,
    )


def mailer_options(settings: Settings) -> MailerOptions:
    """What the provider of mail is made with.

    Raises:
        ValidationFailed: a setting that the provider needs is missing, or names a file that cannot be read.
    """
    if settings.email.provider == "smtp":
        return _smtp(settings)
    if settings.email.provider == "sendgrid":
        return _sendgrid(settings)
    return OutboxOptions(outbox_folder(settings))


def links_base(settings: Settings) -> str | None:
    """Where a person reaches this server's pages; None where there are none.

    Raises:
        ValidationFailed: the public address is not one of the web.
    """
    if settings.public_url is not None:
        if not settings.public_url.startswith(("http://", "https://")):
            raise ValidationFailed(
                f"{settings.public_url!r} is not an address of the web.",
                next="Set DATAMCP_PUBLIC_URL to one that begins with http:// or https://.",
            )
        return settings.public_url
    if settings.console_port:
        return f"http://127.0.0.1:{settings.console_port}"
    if settings.transport != "stdio":
        return f"http://{settings.host}:{settings.port}"
    return None


def outbox_folder(settings: Settings) -> Path:
    """Where provider `file` writes: beside an SQLite database, else in the user data folder."""
    return settings.email.outbox or beside_the_database(settings) / "outbox"


def _offered(settings: Settings) -> object:
    return offer(settings).tools


def _safe_bind(settings: Settings) -> None:
    options = http_options(settings)
    options.hosts()
    is_new = settings.database_url.startswith("sqlite:///") and not sqlite_file(settings.database_url).exists()
    if (
        settings.tokens_file is None and not settings.issuers and is_new
    ):  # one that is there may have keys; it is looked at once it is open
        options.require_safe_bind()


def _smtp_host(settings: Settings) -> str:
    if settings.smtp.host is None:
        raise ValidationFailed("The email provider smtp needs a server.", next="Set DATAMCP_SMTP_HOST.")
    return settings.smtp.host


def _smtp(settings: Settings) -> SmtpServerOptions:
    smtp = settings.smtp
    password = secret(smtp.password, smtp.password_file, "SMTP_PASSWORD")
    return SmtpServerOptions(_smtp_host(settings), smtp.port, smtp.tls, smtp.username, password)


def _sendgrid(settings: Settings) -> SendGridOptions:
    key = secret(settings.sendgrid.api_key, settings.sendgrid.api_key_file, "SENDGRID_API_KEY")
    if key is None:
        raise ValidationFailed(
            "The email provider sendgrid needs a key.",
            next="Set DATAMCP_SENDGRID_API_KEY, or DATAMCP_SENDGRID_API_KEY_FILE.",
        )
    return SendGridOptions(key, settings.sendgrid.base_url)
