"""Cloudflare's own configuration of a project: `wrangler.jsonc`, `wrangler.json` or `wrangler.toml`, as plain data.

What this desk would pass over in silence is refused by name. Source: Cloudflare's wrangler configuration reference.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, cast

from mcp_server.integrations.workers.wrangler_words import BEYOND, ITS_OWN, PASSED_OVER, READ, TAKEN, TOP_LEVEL
from mcp_server.kernel.errors import LimitExceeded, NotFound, ValidationFailed
from mcp_server.kernel.quoting import named

NAMES = ("wrangler.jsonc", "wrangler.json", "wrangler.toml")
CONFIG_BYTES_MAX = 256 * 1024

_TOKENS = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_COMMAS = re.compile(r'"(?:[^"\\\n]|\\.)*"|,(?=\s*[}\]])')
_NOT_INHERITED = frozenset(("vars", "kv_namespaces", "d1_databases", *BEYOND))
_AS_THEY_ARE = ("name", "compatibility_date", "compatibility_flags", "vars", "workers_dev")


class Project(NamedTuple):
    """What a configuration says.

    Attributes:
        entry: the file that is the Worker's entry.
        bundled: whether its imports are to be bundled into it.
        said: the fields of a `Worker`, without its modules.
        passed_over: what it says beside, and nothing is done about.
    """

    entry: Path
    bundled: bool
    said: dict[str, Any]
    passed_over: list[str]


def read_project(folder: Path, environment: str) -> Project:
    """The configuration of a folder, as it is for an environment.

    Raises:
        NotFound: the folder has none.
        LimitExceeded: it is too large.
        ValidationFailed: it cannot be read, or says what this desk would not do.
    """
    path = next((folder / name for name in NAMES if _is_inside(folder, name)), None)
    if path is None:
        raise NotFound(
            f"There is no {', '.join(NAMES)} in {folder}.",
            next="Name the folder of a Worker's project, with one of them.",
        )
    try:
        config = _for_environment(parse(path.name, _text(path)), environment)
        return _project(folder, config)
    except ValidationFailed as error:
        raise ValidationFailed(f"{path.name}: {error}", details=error.details) from None


def parse(name: str, text: str) -> dict[str, Any]:
    """A configuration's members.

    Raises:
        ValidationFailed: it is not of the form that its name says.
    """
    try:
        value: Any = tomllib.loads(text) if name.endswith(".toml") else json.loads(without_comments(text))
    except (ValueError, RecursionError) as error:
        raise ValidationFailed(f"it cannot be read: {error}.", next="Correct it.") from None
    if not isinstance(value, dict):
        raise ValidationFailed("it is no object.", next="Begin with {.")
    return cast("dict[str, Any]", value)


def without_comments(text: str) -> str:
    """JSON with comments and trailing commas as JSON; what stands in texts stays."""

    def kept(token: re.Match[str]) -> str:
        return token[0] if token[0].startswith('"') else " "

    return _COMMAS.sub(kept, _TOKENS.sub(kept, text))


def _text(path: Path) -> str:
    content = path.read_bytes()
    if len(content) > CONFIG_BYTES_MAX:
        raise LimitExceeded(f"{path.name} is {len(content)} bytes; at most {CONFIG_BYTES_MAX} are read.")
    return content.decode("utf-8-sig", "replace")


def _for_environment(config: dict[str, Any], environment: str) -> dict[str, Any]:
    """wrangler's environments replace what they name; bindings and variables are not inherited."""
    whole = {name: value for name, value in config.items() if name != "env"}
    environments = _object(config, "env")
    if environment not in environments:
        if environments and environment not in TOP_LEVEL:
            # Passing the top level off as an environment that is missing would deploy it over the real one.
            raise ValidationFailed(
                f"it has no environment {named(environment)}; it has {', '.join(map(named, sorted(environments)))}.",
                next=f"Add env.{environment} to it, or define the deployment for one of these; its top level is "
                f"deployed as {' or '.join(TOP_LEVEL)}.",
                details={"environment": environment, "environments": sorted(environments)},
            )
        return whole
    inherited = {name: value for name, value in whole.items() if name not in _NOT_INHERITED}
    name = {"name": f"{config['name']}-{environment}"} if "name" in config else {}
    return inherited | name | _object(environments, environment)


def _project(folder: Path, config: dict[str, Any]) -> Project:
    _require_known(config)
    entry = _entry(folder, config.get("main"))
    said = {name: config[name] for name in _AS_THEY_ARE if name in config}
    said |= {"kv": _listed(config, "kv_namespaces", _kv), "d1": _listed(config, "d1_databases", _d1)}
    said |= {"crons": _object(config, "triggers").get("crons", []), "routes": list(_routes(config))}
    said |= {"beyond": dict(_beyond(config))}
    said |= {"assets": _object(config, "assets")} if config.get("assets") else {}
    return Project(entry, not config.get("no_bundle", False), said, sorted(config.keys() & PASSED_OVER))


def _entry(folder: Path, main: Any) -> Path:
    if not isinstance(main, str):
        raise ValidationFailed(
            "it names no `main`.",
            next="Name the Worker's entry file. One that only serves assets has "
            "export default { fetch: (request, env) => env.ASSETS.fetch(request) }, and a binding ASSETS.",
        )
    if "\0" in main or not _is_inside(folder, main):
        raise ValidationFailed(f"main names {named(main)}, and there is no such file in the project.")
    return (folder / main).resolve()


def _is_inside(folder: Path, name: str) -> bool:
    """Whether this is a file of the project, wherever links lead."""
    path = (folder / name).resolve()
    return path.is_relative_to(folder.resolve()) and path.is_file()


def _require_known(config: Mapping[str, Any]) -> None:
    strange = sorted(config.keys() - READ - TAKEN - ITS_OWN - PASSED_OVER - BEYOND.keys())
    if strange:
        raise ValidationFailed(
            f"it says {', '.join(map(named, strange))}, which this desk does not know.",
            next="Leave that out, or deploy with wrangler by a target of the operator's.",
            details={"unknown": strange},
        )
    for name in ("define", "rules"):
        if config.get(name):
            raise ValidationFailed(f"it has {name}, which is not done here.", next="Build the Worker yourself first.")


def _kv(one: Mapping[str, Any]) -> dict[str, Any]:
    """`namespace` is this desk's own word: the namespace of state that it stands for."""
    return {name: one[name] for name in ("binding", "id", "namespace") if name in one}


def _d1(one: Mapping[str, Any]) -> dict[str, Any]:
    return {"binding": one.get("binding"), "id": one.get("database_id")}


def _routes(config: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    single = [config["route"]] if "route" in config else []
    for route in [*single, *cast("list[Any]", config.get("routes", []))]:
        said = {"pattern": route} if isinstance(route, str) else cast("dict[str, Any]", route)
        yield {name: said[name] for name in ("pattern", "zone_id", "zone_name", "custom_domain") if name in said}


def _beyond(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each binding that this desk does not make, by its name."""
    for member, kind in BEYOND.items():
        for one in _leaves(config.get(member)):
            yield str(one.get("binding") or one.get("name") or one.get("queue") or member), kind


def _leaves(value: Any) -> list[dict[str, Any]]:
    """The objects in what may be one, a list of them, or an object of lists."""
    if isinstance(value, list):
        return list(chain.from_iterable(map(_leaves, cast("list[Any]", value))))
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return _leaves([item for item in members.values() if isinstance(item, list)]) or [members]
    return [{}] if value else []


def _listed(config: Mapping[str, Any], name: str, read: Callable[[Mapping[str, Any]], dict[str, Any]]) -> list[Any]:
    items = config.get(name, [])
    if not isinstance(items, list) or not all(isinstance(one, dict) for one in cast("list[Any]", items)):
        raise ValidationFailed(f"its {name} is no list of objects.")
    return [read(one) for one in cast("list[dict[str, Any]]", items)]


def _object(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = config.get(name, {})
    if not isinstance(value, dict):
        raise ValidationFailed(f"its {named(name)} is no object.")
    return cast("dict[str, Any]", value)
