"""A configuration: what shall run, as one revision of a deployment holds it."""

import json
import posixpath
import re
import shlex
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, WithJsonSchema, model_validator

from mcp_server.kernel.checks import refuse
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.json_text import RawJson, canonical, check_json, check_line
from mcp_server.kernel.meaning import Meant
from mcp_server.kernel.quoting import quoted
from mcp_server.kernel.values import Frozen, Line, Text, Word

CONFIG_BYTES_MAX = 128 * 1024
SERVICES_MAX = 50
_IMAGE = Meant("the name of an image of containers", "ghcr.io/org/app:1.2")
_MODULES = Meant("a document as namespace/key, which holds the source", "workers/shop")
_DAY = Meant("a day as YYYY-MM-DD", "2026-01-01")
_VERSION = Meant("a version of numbers and points", "16.4")
_HOST = Meant("a host's name in small letters", "shop.example.org")
REFERENCES = ("env:", "file:")
"""How references to secrets begin; what follows names a variable of the server's environment, or a file."""

Label = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"),
    Meant("up to 40 small letters, digits and -", "web"),
]
"""A name that every target takes: of a deployment, an environment, a service."""

Variable = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"),
    Meant("a name of letters, digits and _", "API_KEY"),
]
_NAME = re.compile(r"[^\s\0=]{1,255}")
Port = Annotated[int, Field(ge=1, le=65535), Meant("the number of one port (no HOST:CONTAINER)", 8080)]
Path = Annotated[
    str,
    StringConstraints(pattern=r"^/[^\s#]{0,500}$"),
    AfterValidator(lambda path: _own_path(path)),
    Meant("a path that begins with /", "/health"),
]
Name = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"),
    Meant("a word of up to 64 letters, digits and . _ -", "my-namespace"),
]
Value = str | int | float | bool
_FOR_A_SHELL = re.compile(r"[|&;<>$`\n]")


def _words_of(text: str) -> Any:
    """A command in one text as its words; a line for a shell, which none reads here, and a text that is none stay."""
    try:
        return text if _FOR_A_SHELL.search(text) else shlex.split(text)
    except ValueError:
        return text


CommandWord = Annotated[
    Line, Meant('one word of a command; no shell reads it: ["sh", "-c", "a && b"]', "npm", words_of=_words_of)
]


def _own_path(path: str) -> str:
    if path.startswith("//") or "\\" in path:
        raise ValidationFailed(f"{quoted(path)} would lead to another host.", next="Begin with one slash: /health.")
    return path


class Probe(Frozen):
    """One request that shows whether a service works."""

    path: Path = "/"
    status: int = Field(default=200, ge=100, le=599)
    contains: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    timeout_seconds: float = Field(default=5, gt=0, le=60)
    attempts: int = Field(default=10, ge=1, le=100)

    @model_validator(mode="before")
    @classmethod
    def _of_a_path(cls, given: Any) -> Any:
        return {"path": given} if isinstance(given, str) else given


class Resources(Frozen):
    """What one replica may use."""

    cpu: float | None = Field(default=None, gt=0, le=256)
    memory_mb: int | None = Field(default=None, ge=1, le=1_048_576)


class Binding(Frozen):
    """What a Worker finds in its environment under a name: one of these."""

    kv: Name | None = None
    text: Text | None = None
    json_value: Any = Field(default=None, alias="json")
    secret: Variable | None = None
    d1: Name | None = None
    queue: Name | None = None
    r2: Name | None = None
    service: Name | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if len(self.model_fields_set) != 1:
            kinds = ", ".join(field.alias or name for name, field in Binding.model_fields.items())
            raise ValidationFailed(f"A binding is one of {kinds}.", next='Such as {"kv": "my-namespace"}.')
        return self

    @property
    def kind(self) -> str:
        """Which one it is."""
        return next(iter(self.model_dump(by_alias=True, exclude_unset=True)))


class Service(Frozen):
    """One thing that runs. Each target takes some of these members, and says so of those that it does not take."""

    name: Label
    arguments: dict[Variable, Value] = Field(default_factory=dict, max_length=32)
    image: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][A-Za-z0-9._/:@-]{0,254}$"), _IMAGE] | None = None
    command: tuple[CommandWord, ...] = Field(default=(), max_length=64)
    folder: Line | None = None
    modules: Annotated[str, StringConstraints(pattern=r"^[^/\s]{1,64}/\S{1,200}$"), _MODULES] | None = None
    main: Line | None = None
    compatibility_date: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}$"), _DAY] | None = None
    compatibility_flags: tuple[Word, ...] = Field(default=(), max_length=32)
    bindings: dict[Variable, Binding] = Field(default_factory=dict, max_length=64)
    crons: tuple[Line, ...] = Field(default=(), max_length=16)
    env: dict[Variable, Text] = Field(default_factory=dict, max_length=64)
    secrets: tuple[Variable, ...] = Field(default=(), max_length=32)
    replicas: int = Field(default=1, ge=1, le=100)
    ports: tuple[Port, ...] = Field(default=(), max_length=16)
    health: Probe | None = None
    checks: tuple[Probe, ...] = Field(default=(), max_length=16)
    resources: Resources | None = None
    depends_on: tuple[Label, ...] = Field(default=(), max_length=32)
    percent: int = Field(default=100, ge=1, le=100)

    def said(self) -> set[str]:
        """The members that were given, apart from its name."""
        return set(self.model_dump(exclude_defaults=True)) - {"name"}


class DatabaseSpec(Frozen):
    """A database that goes with the services, with a volume of its own."""

    name: Label
    engine: Literal["postgres", "mysql", "redis"]
    engine_version: Annotated[str, StringConstraints(pattern=r"^\d+(\.\d+){0,2}$"), _VERSION] | None = Field(
        default=None, alias="version"
    )
    storage_gb: int = Field(default=1, ge=1, le=65536)
    password: Variable | None = None


class IngressSpec(Frozen):
    """How requests from outside reach a service."""

    host: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"), _HOST]
    service: Label
    port: Port | None = None
    path: Path = "/"
    tls: bool = False


class MonitoringSpec(Frozen):
    """Where a service tells its metrics."""

    service: Label
    path: Path = "/metrics"
    port: Port | None = None


_OBJECT: dict[str, Any] = {"type": "object"}
_OBJECTS: dict[str, Any] = {"type": "array", "items": _OBJECT}
Reference = Annotated[
    str,
    StringConstraints(max_length=500),
    AfterValidator(lambda text: _reference(text)),
    Meant("where a secret is found, never the secret", "env:API_KEY"),
]


_SECRET = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY|CREDENTIAL", re.IGNORECASE)


def given_openly(config: "Config") -> list[str]:
    """What is said of values in `env` that by their names are secrets: each is read by whoever reads deployments."""
    found = [(one.name, name) for one in config.services for name, value in one.env.items() if _is_secret(name, value)]
    return [
        f"{name} of {service} stands openly in env, and in every revision. Name it instead: "
        f'secrets={{"{name}": "env:{name}"}}, and secrets: ["{name}"] of the service.'
        for service, name in found
    ]


def _is_secret(name: str, value: str) -> bool:
    return bool(value) and "/" not in value[:1] and _SECRET.search(name) is not None and not value.isdecimal()


def _reference(text: str) -> str:
    kind, _, where = text.partition(":")
    if kind == "file" and (not where.startswith("/") or posixpath.normpath(where) != where):
        raise ValidationFailed(f"{quoted(text)} is no whole path.", next="Such as file:/run/secrets/key, without dots.")
    if kind == "env" and _NAME.fullmatch(where) is None:
        raise ValidationFailed(f"{quoted(text)} names no variable.", next="Such as env:API_KEY, without spaces.")
    check_line(text, "reference")
    if not text.startswith(REFERENCES) or not where.strip():
        raise ValidationFailed(
            "A secret is named, never given.",
            next="Refer to where the server finds it: env:NAME or file:/path.",
        )
    return text


class Config(Frozen):
    """A whole configuration, as one revision holds it."""

    services: Annotated[tuple[Service, ...], WithJsonSchema(_OBJECTS)] = Field(
        min_length=1,
        max_length=SERVICES_MAX,
        description="{name, health {path}, checks [{path, status, contains}], env, secrets [NAME], replicas, ports, "
        "resources {cpu, memory_mb}} and, by target: arguments (the operator's); folder, or "
        "modules (namespace/key) with compatibility_date, bindings {NAME: {kv|text|json|secret}} (workerd, "
        "cloudflare); image, command (compose, kubernetes)",
    )
    databases: Annotated[tuple[DatabaseSpec, ...], WithJsonSchema(_OBJECTS)] = Field(
        default=(), max_length=16, description="{name, engine: postgres|mysql|redis, version, storage_gb, password}"
    )
    ingress: Annotated[tuple[IngressSpec, ...], WithJsonSchema(_OBJECTS)] = Field(
        default=(), max_length=16, description="{host, service, port, path, tls}"
    )
    monitoring: Annotated[tuple[MonitoringSpec, ...], WithJsonSchema(_OBJECTS)] = Field(
        default=(), max_length=16, description="{service, path, port}"
    )
    secrets: Annotated[dict[Variable, Reference], WithJsonSchema(_OBJECT)] = Field(
        default_factory=dict, max_length=64, description="{NAME: env:NAME or file:/path}, never a value"
    )

    @model_validator(mode="after")
    def _refers_to_what_is_there(self) -> Self:
        refuse(self._misfits())
        return self

    def text(self) -> RawJson:
        """The configuration as it is stored: what was said, in one form.

        Raises:
            LimitExceeded: it is too large.
        """
        said = self.model_dump(mode="json", by_alias=True, exclude_defaults=True, include=set(Config.model_fields))
        return check_json(canonical(said), "configuration", CONFIG_BYTES_MAX)

    @staticmethod
    def read(text: str) -> "Config":
        """A stored configuration."""
        return Config.model_validate(json.loads(text))

    def service(self, name: str) -> Service:
        """The service of a name."""
        return next(service for service in self.services if service.name == name)

    def _misfits(self) -> Iterator[ValidationFailed]:
        """Each name that two parts have, and each that stands for none."""
        names = [part.name for part in (*self.services, *self.databases)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            yield ValidationFailed(f"{', '.join(twice)} is the name of two parts.", next="Give each its own name.")
        for where, name in self._named():
            if name not in names:
                yield ValidationFailed(f"{where} names {quoted(name)}, and the parts are {', '.join(names)}.")
        for where, name in self._secrets_named():
            if name not in self.secrets:
                known = ", ".join(self.secrets) or "none"
                yield ValidationFailed(
                    f"{where} names the secret {name}; known are: {known}.",
                    next=f'Add secrets={{"{name}": "env:..."}}.',
                )

    def _named(self) -> Iterator[tuple[str, str]]:
        for service in self.services:
            yield from ((f"depends_on of {service.name}", name) for name in service.depends_on)
        yield from (("An ingress", ingress.service) for ingress in self.ingress)
        yield from (("The monitoring", monitoring.service) for monitoring in self.monitoring)

    def _secrets_named(self) -> Iterator[tuple[str, str]]:
        for service in self.services:
            yield from ((f"Service {service.name}", name) for name in service.secrets)
            bound = (binding.secret for binding in service.bindings.values())
            yield from ((f"A binding of {service.name}", name) for name in bound if name is not None)
        passwords = ((database.name, database.password) for database in self.databases)
        yield from ((f"Database {database}", name) for database, name in passwords if name is not None)
