"""A Worker's project as wrangler has it: its configuration is read, its modules are bundled, and what is not done is
refused by name."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_server.integrations.workers.binaries import find_esbuild
from mcp_server.integrations.workers.bundling import modules_of, needs_bundling
from mcp_server.integrations.workers.project import Project
from mcp_server.integrations.workers.wrangler import parse, read_project, without_comments
from mcp_server.kernel.errors import NotFound, OpsError, PermissionDenied, Unavailable, ValidationFailed
from tests.integrations.workers.programs import ESBUILD, needs_esbuild

JSONC = """// the site
{
  "$schema": "node_modules/wrangler/config-schema.json",
  "name": "site", /* what it is called */
  "main": "src/index.js",
  "compatibility_date": "2026-01-01",
  "compatibility_flags": ["nodejs_compat",],
  "vars": { "GREETING": "hello, // world", "LIMITS": { "n": [1, 2,], }, },
  "kv_namespaces": [{ "binding": "CACHE", "id": "abc", "preview_id": "def" }],
  "d1_databases": [{ "binding": "DB", "database_name": "main", "database_id": "0-1" }],
  "triggers": { "crons": ["*/5 * * * *"] },
  "routes": ["example.org/*", { "pattern": "www.example.org", "custom_domain": true }],
  "workers_dev": true,
  "observability": { "enabled": true },
  "queues": { "producers": [{ "binding": "JOBS", "queue": "jobs" }], "consumers": [{ "queue": "done" }] },
  "r2_buckets": [{ "binding": "FILES", "bucket_name": "files" }],
  "assets": { "directory": "public" },
  "env": { "staging": { "vars": { "GREETING": "psst" } } },
}
"""
TOML = """
name = "site"
main = "src/index.js"
compatibility_date = "2026-01-01"
route = "example.org/*"
[vars]
GREETING = "hello"
[[kv_namespaces]]
binding = "CACHE"
id = "abc"
"""


def project(folder: Path, name: str = "wrangler.jsonc", text: str = JSONC, **sources: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    for path, source in ({"src/index.js": "export default {}"} | sources).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(source)
    return folder


def test_jsonc_is_read_with_its_comments_and_trailing_commas(tmp_path: Path):
    read = read_project(project(tmp_path), "production")
    assert (read.entry, read.bundled, read.passed_over) == (tmp_path / "src/index.js", True, ["observability"])
    assert read.said == {
        "name": "site",
        "compatibility_date": "2026-01-01",
        "compatibility_flags": ["nodejs_compat"],
        "vars": {"GREETING": "hello, // world", "LIMITS": {"n": [1, 2]}},
        "kv": [{"binding": "CACHE", "id": "abc"}],
        "d1": [{"binding": "DB", "id": "0-1"}],
        "crons": ["*/5 * * * *"],
        "routes": [{"pattern": "example.org/*"}, {"pattern": "www.example.org", "custom_domain": True}],
        "beyond": {"JOBS": "queue", "done": "queue", "FILES": "R2 bucket"},
        "assets": {"directory": "public"},
        "workers_dev": True,
    }


def test_an_environment_has_its_own_name_and_bindings_and_inherits_the_rest(tmp_path: Path):
    said = read_project(project(tmp_path), "staging").said
    assert (said["name"], said["vars"], said["kv"], said["beyond"]) == ("site-staging", {"GREETING": "psst"}, [], {})
    assert said["compatibility_date"] == "2026-01-01"


def test_an_environment_that_a_project_lacks_is_not_deployed_as_its_top_level(tmp_path: Path):
    with pytest.raises(ValidationFailed, match=r"no environment stagin; it has staging"):
        read_project(project(tmp_path), "stagin")
    assert {read_project(project(tmp_path), name).said["name"] for name in ("production", "default")} == {"site"}


def test_toml_is_read(tmp_path: Path):
    for mark in ("", "\ufeff"):  # as editors on Windows write it
        said = read_project(project(tmp_path, "wrangler.toml", mark + TOML), "production").said
        assert (said["vars"], said["routes"]) == ({"GREETING": "hello"}, [{"pattern": "example.org/*"}])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"main": "src/index.js", "polish": 1}', "polish"),
        ('{"name": "x"}', "main"),
        ('{"main": "../outside.js"}', "no such file"),
        ('{"main": "src/none.js"}', "no such file"),
        ('{"main": "src/index.js", "define": {"A": "1"}}', "define"),
        ('{"main": "src/index.js", "build": {"command": "make"}}', "build"),
        ('{"main": "src/index.js", "kv_namespaces": {}}', "kv_namespaces"),
        ('{"main": "src/index.js", "triggers": []}', "triggers"),
        ("[]", "no object"),
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_what_would_be_passed_over_or_cannot_be_read_is_refused(tmp_path: Path, text: str, why: str):
    (tmp_path.parent / "outside.js").write_text("")
    with pytest.raises(ValidationFailed, match=why):
        read_project(project(tmp_path, text=text), "production")


def test_a_folder_without_a_configuration_is_no_project(tmp_path: Path):
    with pytest.raises(NotFound, match=r"wrangler\.jsonc"):
        read_project(tmp_path, "production")


VALUES = st.recursive(
    st.integers() | st.text() | st.none(), lambda one: st.lists(one) | st.dictionaries(st.text(), one)
)


@pytest.mark.slow
@settings(max_examples=40)
@given(VALUES, st.sampled_from(['// a " b\n', '/* , ] " */', " "]))
def test_comments_and_trailing_commas_change_no_value(value: Any, comment: str):
    text = json.dumps({"a": value}, indent=1)
    commented = text.replace("\n", f"\n{comment}") if '"' not in json.dumps(value).replace('\\"', "") else text
    assert json.loads(without_comments(commented)) == {"a": value}


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")), st.sampled_from(["w.toml", "w.jsonc"]))
def test_any_text_is_read_or_refused(text: str, name: str):
    with contextlib.suppress(OpsError):
        parse(name, text)


@pytest.mark.parametrize(
    ("source", "needs"),
    [
        ("export default { fetch() { return new Response('import') } }", False),
        ("import { DurableObject } from 'cloudflare:workers'; export default {}", False),
        ("import x from './x.js'", True),
        ('import"./x.js"', True),
        ("export * from 'hono'", True),
        ("const x = await import(name)", True),
        ("const x = require('x')", True),
    ],
)
def test_what_imports_other_modules_needs_bundling(source: str, needs: bool):
    assert needs_bundling("w.js", source.encode()) is needs
    assert needs_bundling("w.ts", b"") is True


@pytest.mark.anyio
@needs_esbuild
async def test_a_project_is_bundled_into_one_module_with_the_files_that_it_imports(tmp_path: Path):
    sources = {
        "src/index.ts": "import { hi } from './hi'; import page from './page.html';"
        " import { x } from 'cloudflare:workers';"
        " const n: number = 1; export default { hi, page, x, n }",
        "src/hi.ts": "export const hi = 'hello'",
        "src/page.html": "<p>é</p>",
    }
    project(tmp_path, **sources)
    main, modules = await modules_of(
        Project(tmp_path, [tmp_path]), tmp_path / "src/index.ts", bundled=True, esbuild=ESBUILD
    )
    assert main == "worker.js" and "hello" in modules[main].decode() and "cloudflare:workers" in modules[main].decode()
    (page,) = [content for name, content in modules.items() if name.endswith(".html")]
    assert page.decode() == "<p>é</p>"


@pytest.mark.anyio
@needs_esbuild
async def test_what_cannot_be_bundled_says_what_esbuild_says(tmp_path: Path):
    project(tmp_path, **{"src/index.js": "import x from 'nowhere'"})
    with pytest.raises(ValidationFailed, match="nowhere"):
        await modules_of(Project(tmp_path, [tmp_path]), tmp_path / "src/index.js", bundled=True, esbuild=ESBUILD)


@pytest.mark.anyio
async def test_without_esbuild_what_imports_nothing_stands_for_itself_and_the_rest_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    project(tmp_path)
    entry = tmp_path / "src/index.js"
    assert await modules_of(Project(tmp_path, [tmp_path]), entry, bundled=True, esbuild=None) == (
        "index.js",
        {"index.js": b"export default {}"},
    )
    entry.write_text("import './x.js'")
    (tmp_path / "src/x.js").write_text("")
    with pytest.raises(Unavailable, match="npm install esbuild"):
        await modules_of(Project(tmp_path, [tmp_path]), entry, bundled=True, esbuild=None)
    _, modules = await modules_of(Project(tmp_path, [tmp_path]), entry, bundled=False, esbuild=None)
    assert modules == {"index.js": b"import './x.js'", "x.js": b""}


OUTSIDE = ["import x from '../../key.json'", "import x from '{}/key.json'", "import x from './link.json'"]


@pytest.mark.anyio
@needs_esbuild
@pytest.mark.parametrize("says", ['{"key": "hush-hush"}', "hush-hush, and no JSON"])
@pytest.mark.parametrize("source", OUTSIDE)
async def test_no_import_and_no_link_brings_in_what_lies_outside_of_the_folders(tmp_path: Path, source: str, says: str):
    (tmp_path / "key.json").write_text(says)
    folder = project(tmp_path / "shop", **{"src/index.js": f"{source.format(tmp_path)}; export default x"})
    (folder / "src/link.json").symlink_to(tmp_path / "key.json")
    with pytest.raises(PermissionDenied, match="lies outside of the folders") as refused:
        await modules_of(Project(folder, [folder]), folder / "src/index.js", bundled=True, esbuild=ESBUILD)
    assert "hush-hush" not in f"{refused.value} {refused.value.details}"
    with pytest.raises(PermissionDenied, match="lies outside of the folders"):
        await modules_of(Project(folder, [folder]), folder / "src/index.js", bundled=False, esbuild=None)


def test_a_configuration_that_is_a_link_to_elsewhere_is_none(tmp_path: Path):
    (tmp_path / "config.json").write_text('{"auths": {}}')
    folder = project(tmp_path / "shop")
    (folder / "wrangler.jsonc").unlink()
    (folder / "wrangler.jsonc").symlink_to(tmp_path / "config.json")
    with pytest.raises(NotFound, match=r"There is no wrangler\.jsonc"):
        read_project(folder, "production")


def test_a_program_that_another_user_put_above_a_project_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = tmp_path / "node_modules/esbuild/bin/esbuild"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh")
    program.chmod(0o755)
    assert find_esbuild(None, [tmp_path / "shop"]) == program
    monkeypatch.setenv("PATH", "")
    if program.stat().st_uid == 0:
        os.chown(program, 12345, -1)  # root's programs are the system's
    else:
        monkeypatch.setattr("os.geteuid", lambda: program.stat().st_uid + 1)
    with pytest.raises(Unavailable, match="esbuild is not installed"):
        find_esbuild(None, [tmp_path / "shop"])
