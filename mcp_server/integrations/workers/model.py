"""A Worker as plain data: what it is made of and bound to, wherever it runs. Secrets are named, never held."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from mcp_server.integrations.workers.assets import Assets
from mcp_server.integrations.workers.content import Binding, Content
from mcp_server.kernel.errors import LimitExceeded, ValidationFailed
from mcp_server.kernel.json_text import canonical_hash, check_json, check_line, check_text
from mcp_server.kernel.quoting import named
from mcp_server.kernel.values import Frozen

MODULES_BYTES_MAX = 10 * 1024 * 1024
"""What a Worker's modules may weigh together: Cloudflare takes 10 MB, compressed, on paid plans."""

ModuleKind = Literal["esm", "commonjs", "text", "data", "wasm", "json"]
_KINDS: dict[str, ModuleKind] = {
    ".js": "esm",
    ".mjs": "esm",
    ".cjs": "commonjs",
    ".txt": "text",
    ".html": "text",
    ".sql": "text",
    ".bin": "data",
    ".wasm": "wasm",
    ".json": "json",
}
_TEXTS = ("esm", "commonjs", "text", "json")


def _module_name(name: str) -> str:
    check_line(name, "name of a module")
    if name.startswith("/") or ".." in name.split("/"):
        raise ValidationFailed(f"The module {named(name)} lies outside of the Worker.", next="Give it a relative name.")
    return name


WorkerName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
ModuleName = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_module_name)]
Date = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}$")]
Flag = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,100}$")]
Var = Annotated[Any, AfterValidator(lambda value: check_json(value, "value of a variable") and value)]


class Kv(Frozen):
    """A KV namespace.

    Attributes:
        namespace: of the desk's state; what it is locally, and what a mirror keeps alike.
        id: Cloudflare's.
    """

    binding: Binding
    namespace: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] | None = None
    id: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_-]{1,64}$")] | None = None


class D1(Frozen):
    """A D1 database."""

    binding: Binding
    id: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_-]{1,64}$")]


class Route(Frozen):
    """Under which addresses of a zone the Worker answers."""

    pattern: Annotated[
        str, StringConstraints(min_length=1, max_length=500), AfterValidator(lambda t: check_line(t) or t)
    ]
    zone_id: str | None = None
    zone_name: str | None = None
    custom_domain: bool = False


class Worker(Frozen):
    """What is deployed.

    Attributes:
        modules: content by name; text stands for itself, bytes as `{"base64": ...}`.
        main: the name of the module that is the entry.
        vars: a text is bound as text, anything else as JSON.
        secrets: bindings whose values come from elsewhere when it is started or deployed.
        assets: static files that Cloudflare serves beside it.
        beyond: other kinds of bindings by their names, such as `{"JOBS": "queue"}`, that no target here makes.
    """

    name: WorkerName
    modules: dict[ModuleName, Content] = Field(min_length=1, max_length=1000)
    main: ModuleName
    compatibility_date: Date
    compatibility_flags: tuple[Flag, ...] = ()
    vars: dict[Binding, Var] = Field(default_factory=dict)
    secrets: tuple[Binding, ...] = ()
    kv: tuple[Kv, ...] = ()
    d1: tuple[D1, ...] = ()
    beyond: dict[str, str] = Field(default_factory=dict)
    crons: tuple[Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z*/,#? -]{1,100}$")], ...] = ()
    routes: tuple[Route, ...] = ()
    workers_dev: bool | None = None
    assets: Assets | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.main not in self.modules:
            raise ValidationFailed(
                f"The Worker's main module {named(self.main)} is not among its modules.",
                next=f"Name one of {', '.join(named(name) for name in sorted(self.modules)[:10])}.",
            )
        _require_size(sum(map(len, self.modules.values())))
        _require_once([*self.bound(), *self.beyond])
        for name, content in self.modules.items():
            _require_text(name, content)
        return self

    def bound(self) -> list[str]:
        """The names under which its code reaches something."""
        files = [] if self.assets is None or self.assets.binding is None else [self.assets.binding]
        return [*self.vars, *self.secrets, *(one.binding for one in (*self.kv, *self.d1)), *files]


def kind_of(name: str) -> ModuleKind:
    """What a module is, by its name's ending; what is not known is data."""
    dot = name.rfind(".")
    return _KINDS.get(name[dot:].lower(), "data") if dot >= 0 else "data"


def is_text(kind: ModuleKind) -> bool:
    """Whether a module of this kind is UTF-8 text."""
    return kind in _TEXTS


def digest(worker: Worker) -> str:
    """SHA-256, as hex, of everything that the Worker is: equal where a deployment would change nothing. Secrets
    stand in it by their names."""
    said = worker.model_dump(exclude={"modules", "assets"}) | {"modules": _hashes(worker.modules)}
    if worker.assets is not None:
        said["assets"] = worker.assets.model_dump(exclude={"files"}) | {"files": _hashes(worker.assets.files)}
    return canonical_hash(said)


def _hashes(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def _require_size(size: int) -> None:
    if size > MODULES_BYTES_MAX:
        raise LimitExceeded(
            f"The Worker's modules are {size} bytes; at most {MODULES_BYTES_MAX} are allowed.",
            next="Leave out what is not needed, or serve it from elsewhere.",
            details={"bytes": size, "bytes_max": MODULES_BYTES_MAX},
        )


def _require_once(bindings: Iterable[str]) -> None:
    seen = set[str]()
    for name in bindings:
        if name in seen:
            raise ValidationFailed(f"The binding {named(name)} is there twice.", next="Rename one of them.")
        seen.add(name)


def _require_text(name: str, content: bytes) -> None:
    if not is_text(kind_of(name)):
        return
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ValidationFailed(f"The module {named(name)} is not UTF-8 text.", next="Save it as UTF-8.") from None
    check_text(text, f"module {named(name)}")
