"""A Worker as workerd's configuration: Cap'n Proto text, in which whatever others named or wrote stands escaped."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mcp_server.integrations.workers.model import Kv, ModuleKind, Worker, is_text, kind_of
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.json_text import check_json
from mcp_server.kernel.quoting import named

SOCKET = "http"
"""The name of the Worker's socket."""
VARIABLE = "DATAMCP_WORKER_SECRET_"
"""What the names of the variables begin with that carry a Worker's secrets to workerd."""

_FIELDS: dict[ModuleKind, str] = {
    "esm": "esModule",
    "commonjs": "commonJsModule",
    "text": "text",
    "data": "data",
    "wasm": "wasm",
    "json": "json",
}
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_TABLE = str.maketrans(
    _ESCAPES | {chr(code): f"\\x{code:02x}" for code in (*range(32), 127) if chr(code) not in _ESCAPES}
)


@dataclass(frozen=True, slots=True)
class Backend:
    """Where the KV bindings are served: the service's address, and the token for each binding."""

    address: str
    tokens: Mapping[str, str] = field(repr=False)


def literal(text: str) -> str:
    """Text as a literal of Cap'n Proto that reads back as the same text."""
    return f'"{text.translate(_TABLE)}"'


def data(content: bytes) -> str:
    """Bytes as a literal of Cap'n Proto."""
    return f'0x"{content.hex(" ")}"'


def variable(binding: str) -> str:
    """The environment variable that carries a secret. Its name cannot be one that a program listens to."""
    return VARIABLE + binding.replace("$", "__dollar__")


def config(worker: Worker, backend: Backend | None, address: str = "127.0.0.1:0") -> str:
    """The configuration that serves a Worker on loopback.

    Args:
        worker: what to serve.
        backend: of its KV bindings; None where it has none.
        address: to listen on.

    Raises:
        ValidationFailed: it is bound to what workerd alone cannot serve; each is named.
    """
    require_servable(worker)
    services = ['(name = "main", worker = .worker)', *_kv_services(worker, backend)]
    bindings = [*_vars(worker), *_secrets(worker), *_kv_bindings(worker)]
    modules = [_module(name, content) for name, content in _main_first(worker)]
    flags = [literal(flag) for flag in worker.compatibility_flags]
    return f"""using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = {_list(services)},
  sockets = [ (name = "{SOCKET}", address = {literal(address)}, http = (), service = "main") ]
);
const worker :Workerd.Worker = (
  compatibilityDate = {literal(worker.compatibility_date)},
  compatibilityFlags = {_list(flags)},
  bindings = {_list(bindings)},
  modules = {_list(modules)}
);
"""


def require_servable(worker: Worker) -> None:
    """Refuse what workerd alone cannot serve.

    Raises:
        ValidationFailed: naming each.
    """
    beyond = [f"{kind} {named(name)}" for name, kind in worker.beyond.items()]
    beyond += [f"D1 database {named(database.binding)}" for database in worker.d1]
    beyond += [f"cron trigger {named(cron)}" for cron in worker.crons]
    beyond += [f"KV namespace {named(one.binding)}, which names no namespace of state" for one in _nameless(worker)]
    beyond += ["assets"] if worker.assets is not None else []
    if beyond:
        raise ValidationFailed(
            f"workerd alone cannot serve {'; '.join(beyond)}.",
            next="Leave them out of the local environment, or deploy with the target cloudflare.",
            details={"unsupported": beyond},
        )


def _nameless(worker: Worker) -> list[Kv]:
    return [one for one in worker.kv if one.namespace is None]


def _list(items: list[str]) -> str:
    return f"[ {', '.join(items)} ]" if items else "[]"


def _main_first(worker: Worker) -> list[tuple[str, bytes]]:
    """workerd takes the first module for the entry."""
    return sorted(worker.modules.items(), key=lambda item: (item[0] != worker.main, item[0]))


def _module(name: str, content: bytes) -> str:
    kind = kind_of(name)
    value = literal(content.decode()) if is_text(kind) else data(content)
    return f"(name = {literal(name)}, {_FIELDS[kind]} = {value})"


def _vars(worker: Worker) -> list[str]:
    return [
        f"(name = {literal(name)}, text = {literal(value)})"
        if isinstance(value, str)
        else f"(name = {literal(name)}, json = {literal(check_json(value, 'variable'))})"
        for name, value in worker.vars.items()
    ]


def _secrets(worker: Worker) -> list[str]:
    return [f"(name = {literal(name)}, fromEnvironment = {literal(variable(name))})" for name in worker.secrets]


def _kv_bindings(worker: Worker) -> list[str]:
    return [f"(name = {literal(one.binding)}, kvNamespace = {literal(f'kv:{one.binding}')})" for one in worker.kv]


def _kv_services(worker: Worker, backend: Backend | None) -> list[str]:
    """The service behind each KV binding: ours, with the binding's own token, which the Worker's code never sees."""
    return [] if backend is None else [_kv_service(one.binding, backend) for one in worker.kv]


def _kv_service(binding: str, backend: Backend) -> str:
    header = f'(name = "Authorization", value = {literal(f"Bearer {backend.tokens[binding]}")})'
    http = f"(injectRequestHeaders = [ {header} ])"
    return f"(name = {literal(f'kv:{binding}')}, external = (address = {literal(backend.address)}, http = {http}))"
