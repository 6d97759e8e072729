"""The command that starts our server, as it was installed here; only one that was seen to start is written."""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mcp_server.integrations.clients.entries import PROGRAM, Started
from mcp_server.integrations.clients.machine import Machine
from mcp_server.integrations.clients.records import Client
from mcp_server.kernel.errors import Unavailable

START_SECONDS_MAX = 300
"""How long a first start may take: it may download packages."""
_KEPT = (
    *("HOME", "LOGNAME", "USER", "LANG", "TMPDIR", "SHELL", "TERM"),
    *("APPDATA", "LOCALAPPDATA", "USERPROFILE", "HOMEDRIVE", "HOMEPATH", "USERNAME", "PATHEXT", "COMSPEC"),
    *("SYSTEMROOT", "SYSTEMDRIVE", "TEMP", "TMP", "PROGRAMFILES", "PROCESSOR_ARCHITECTURE"),
)
_NETWORK = (
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("https_proxy", "http_proxy", "all_proxy", "no_proxy"),
    *("UV_CACHE_DIR", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"),
    *("UV_FIND_LINKS", "UV_SYSTEM_CERTS", "UV_NATIVE_TLS", "UV_PYTHON", "UV_PYTHON_INSTALL_DIR"),
)
"""Without which uv may not reach its index or find what it has: handed on where a client's server needs them."""
_QUIET: Mapping[str, Any] = {"capture_output": True, "text": True, "errors": "replace", "stdin": subprocess.DEVNULL}
_RECEIPTS = ("uv-receipt.toml", "pipx_metadata.json")
_SAID_MAX = 500
_SYSTEM_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"


class Package(NamedTuple):
    """How our package is here.

    Attributes:
        checkout: its folder, where it runs from a checkout.
        source: what it was installed from, as uv takes it; None: the index, by its name.
        program: the console script, if it stays where it is.
        is_tool: whether that is what a person installed as a program of its own, with uv or pipx.
    """

    checkout: Path | None
    source: str | None
    program: Path | None
    is_tool: bool = False


def this_package(package: Path, program: Path) -> Package:
    """How the package that runs is here.

    Args:
        package: its folder, `mcp_server`.
        program: where its console script would be.
    """
    stays = program.is_file() and "archive-v0" not in program.parts  # uvx keeps what it runs in a cache
    is_tool = any((program.parent.parent / receipt).is_file() for receipt in _RECEIPTS)
    return Package(_checkout(package.parent), _source(), program if stays else None, is_tool)


def minimal_env(machine: Machine, client: Client) -> dict[str, str]:
    """The least that a server of this client finds in its environment."""
    kept = {name: machine.env[name] for name in _KEPT if name in machine.env}
    return {**kept, "PATH": machine.env.get("PATH", "") if _has_path(machine, client) else _SYSTEM_PATH}


def _has_path(machine: Machine, client: Client) -> bool:
    return client.sees_path or machine.platform == "win32"


def commands(machine: Machine, package: Package, client: Client, extra: str | None) -> Iterator[tuple[str, ...]]:
    """Commands that may start the server, the best first.

    Args:
        machine: on which it starts.
        package: how it is there.
        client: that starts it; one that does not find commands by itself gets whole paths.
        extra: of the package, that is needed beside it.
    """
    programs = () if package.program is None else ((str(package.program),),)
    if package.is_tool and extra is None:
        yield from programs
    yield from _by_uv(machine, package, client, extra)
    yield from programs


def _by_uv(machine: Machine, package: Package, client: Client, extra: str | None) -> Iterator[tuple[str, ...]]:
    uv = machine.env.get("UV") or machine.which("uv")  # uv tells where it is to what it starts
    if uv is not None and package.checkout is not None:
        extras = () if extra is None else ("--extra", extra)
        yield uv, "run", "--no-dev", *extras, "--directory", str(package.checkout), PROGRAM
    elif uv is not None:
        yield _uvx(machine, client, uv), *_from(package.source, extra), PROGRAM


def _uvx(machine: Machine, client: Client, uv: str) -> str:
    on_path = machine.which("uvx")
    if on_path is None:
        return str(Path(uv).with_name(f"uvx{Path(uv).suffix}"))
    return "uvx" if client.sees_path else on_path


def first_that_starts(
    tried: Iterator[tuple[str, ...]],
    own: Mapping[str, str],
    little: Mapping[str, str],
    run: Callable[..., Any] = subprocess.run,
) -> Started:
    """The first command that starts our program as a client would, with the variables that it needs for that.

    Args:
        tried: commands, the best first.
        own: the person's environment: in it, what has to be downloaded is, before a client starts anything.
        little: what the client hands on.
        run: as `subprocess.run`.

    Raises:
        Unavailable: none does; what each said.
    """
    needed = {name: own[name] for name in _NETWORK if name in own}
    said = list[str]()
    for argv in tried:
        started = _started(argv, (own, little, needed), run)
        if isinstance(started, Started):
            return started
        said.append(f"{' '.join(argv)}: {started}.")
    tale = " ".join(said) or "Neither uv nor the program was found."
    raise Unavailable(f"No command was seen to start the server. {tale}", next="Install uv, and try again.")


def _started(
    argv: tuple[str, ...], envs: tuple[Mapping[str, str], Mapping[str, str], Mapping[str, str]], run: Callable[..., Any]
) -> Started | str:
    """A command with the variables that it needs to start as a client would; else what is wrong with it."""
    own, little, needed = envs
    failure = _failure(argv, own, run)
    tries = [dict[str, str](), needed][: 1 + len(needed)]
    for handed in [] if failure else tries:
        failure = _failure(argv, {**little, **handed}, run)
        if failure is None:
            return Started(argv, handed)
    return str(failure)


def _failure(argv: Sequence[str], env: Mapping[str, str], run: Callable[..., Any]) -> str | None:
    """What is wrong with a command; None where it starts our program."""
    try:
        done = run([*argv, "--version"], env=dict(env), timeout=START_SECONDS_MAX, **_QUIET)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0 and PROGRAM in done.stdout:
        return None
    return f"exit code {done.returncode}, {done.stderr.strip()[-_SAID_MAX:]}"


def _from(source: str | None, extra: str | None) -> tuple[str, ...]:
    named = PROGRAM if extra is None else f"{PROGRAM}[{extra}]"
    whole = named if source is None else f"{named} @ {source}"
    return () if whole == PROGRAM else ("--from", whole)


def _checkout(folder: Path) -> Path | None:
    try:
        is_ours = f'name = "{PROGRAM}"' in (folder / "pyproject.toml").read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return folder if is_ours else None


def _source() -> str | None:
    """What the package was installed from, if not from the index."""
    from importlib.metadata import PackageNotFoundError, distribution  # loads what reads mails

    try:
        said = distribution(PROGRAM).read_text("direct_url.json")
    except PackageNotFoundError:
        return None
    return None if said is None else source_of(json.loads(said))


def source_of(direct_url: Mapping[str, Any]) -> str:
    """What uv takes for a record of PEP 610."""
    url, vcs = str(direct_url["url"]), direct_url.get("vcs_info")
    return url if vcs is None else f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
