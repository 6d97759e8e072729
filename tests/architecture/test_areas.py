"""What the areas' records promise: everything that exists is named by one, and no area touches another's tables."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from mcp_server.domain.areas import AREAS
from mcp_server.domain.locks.model import Hold
from mcp_server.domain.messages.model import Delivery, Message
from mcp_server.domain.tasks.model import Task
from mcp_server.kernel.area import Area, Table
from mcp_server.kernel.areas import Areas
from mcp_server.kernel.events import Event, Origin
from mcp_server.kernel.records import Record, blank_of
from mcp_server.persistence.database import make_backend
from mcp_server.persistence.migrate import migrations
from mcp_server.persistence.statements import sections, statements
from mcp_server.upkeep.transfer import snapshot
from resources import RESOURCES
from tests.architecture.test_house import nodes_of, parsed
from tools import TOOLS

ROOT = Path(__file__).parent.parent.parent
DOMAIN = ROOT / "mcp_server" / "domain"
OWNER = {table.name: area.name for area in AREAS.all for table in area.tables}
ENGINES = ("sqlite", "postgres")
WORDS = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE|DELETE FROM)\s+(?:ONLY\s+)?\(?([a-z_]+)", re.IGNORECASE)
MADE = re.compile(
    r"CREATE TABLE (?:IF NOT EXISTS )?([a-z_]+)|DROP TABLE ([a-z_]+)|ALTER TABLE ([a-z_]+) RENAME TO ([a-z_]+)"
)
NO_TABLES = {
    "set",
    "of",
    "skip",
    "json_each",
    "jsonb_array_elements_text",
    "pg_advisory_xact_lock",
    "unnest",
    "select",
    "lateral",
    "text_index",  # of texts, on SQLite a virtual table
    *("pg_stats", "pg_class"),  # what PostgreSQL has counted
}


def tables_of(sql: str) -> set[str]:
    """The tables that SQL reads or writes; names that a WITH gives are none."""
    text = "\n".join(line for line in sql.splitlines() if not line.lstrip().startswith("--"))
    own = set(re.findall(r"\b([a-z_]+)\s*(?:\([a-z_, ]*\))?\s+AS\s+(?:MATERIALIZED\s+)?\(", text))
    return {name.lower() for name in WORDS.findall(text)} - own - NO_TABLES


def python_of(area: str) -> list[tuple[Path, ast.Module]]:
    return [(path, parsed(path)[1]) for path in sorted((DOMAIN / area).glob("*.py"))]


@pytest.mark.parametrize("engine", ENGINES)
def test_every_table_of_the_schema_is_named_by_one_area(engine):
    tables = set[str]()
    for migration in migrations(engine):
        for made, dropped, old, new in MADE.findall(migration.sql):
            tables = (tables | {made, new}) - {"", dropped, old}
    assert tables == set(OWNER)
    assert len(AREAS.tables) == len(OWNER), "a table is named twice"


@pytest.mark.parametrize("area", AREAS.all, ids=lambda area: area.name)
def test_an_areas_sql_touches_its_own_tables_only(area: Area):
    for name, _, text in sections(area.sql()):
        foreign = {table for table in tables_of(text) if OWNER.get(table) != area.name}
        assert not foreign, f"{name} of {area.name} touches {foreign}"


@pytest.mark.parametrize("area", AREAS.all, ids=lambda area: area.name)
def test_an_areas_code_runs_its_own_statements_only(area: Area):
    mine = {name for name, _, _ in sections(area.sql())}
    theirs = {name for other in AREAS.all if other is not area for name, _, _ in sections(other.sql())} - mine
    for path, tree in python_of(area.name):
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
        names = {call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)}
        assert not names & theirs, f"{path.name} of {area.name} runs {names & theirs}"


@pytest.mark.parametrize("area", AREAS.all, ids=lambda area: area.name)
def test_no_sql_stands_outside_the_areas_statements(area: Area):
    looks_like_sql = re.compile(r"^\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM)\b")
    for path, tree in python_of(area.name):
        texts = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        found = {table for text in texts if looks_like_sql.match(text) for table in tables_of(text)}
        assert {OWNER.get(table) for table in found} <= {area.name}, f"{path.name} of {area.name} names {found}"


def test_every_event_type_that_the_code_can_tell_of_is_named_by_an_area():
    kinds = "|".join(AREAS.aggregates)
    literal = re.compile(rf"^(?:{kinds})\.[a-z_]+$")
    found: set[str] = set()
    for area in AREAS.all:
        for _, tree in python_of(area.name):
            found |= {
                node.value
                for node in ast.walk(tree)
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and literal.match(node.value)
            }
    assert found <= AREAS.tells.keys(), f"no area names {found - AREAS.tells.keys()}"


def test_an_event_whose_type_no_area_names_is_refused_by_the_store(sqlite_url: str):
    """Whoever makes the name up: it would be lost to replay, subscriptions and rights."""
    backend = make_backend(sqlite_url, AREAS)
    backend.prepare()
    session = backend.open_session()
    tx = session.begin()
    with pytest.raises(LookupError, match=r"task\.misspelt"):
        tx.append(Origin(0, "user:x", "c"), Event("task.misspelt", "task", "task_x", 1, {}))
    session.rollback()
    session.close()


def test_every_resource_that_tells_of_one_thing_changes_with_an_aggregate():
    changing = {uri for aggregate in AREAS.aggregates.values() for uri in aggregate.uris("ID")}
    for resource in RESOURCES:
        if "{" not in resource.uri_template.split("{?")[0] or resource.name == "document":
            continue
        shape = re.sub(r"\{[^}]*\}", "ID", resource.uri_template.split("{?")[0])
        assert shape in changing, f"nothing tells subscribers of {resource.uri_template}"
    plain = {resource.plain_uri for resource in RESOURCES if resource.plain_uri}
    shapes = {re.sub(r"\{[^}]*\}", "ID", resource.uri_template.split("{?")[0]) for resource in RESOURCES}
    for uri in changing:
        assert uri in plain | shapes or any(r.uri_template.startswith(uri.rsplit("/", 1)[0]) for r in RESOURCES), uri


@pytest.mark.slow
def test_every_kind_of_system_task_that_is_created_has_a_handler_in_an_area():
    known = tuple(kind.kind for kind in AREAS.kinds)
    for path in sorted((ROOT / "mcp_server").rglob("*.py")):
        texts = {node.value for node in nodes_of(path) if isinstance(node, ast.Constant)}
        made = {text for text in texts if isinstance(text, str) and re.fullmatch(r"system\.[a-z_.]+", text)}
        assert made <= set(known), f"{path.name} names {made - set(known)}"
    assert {chore.kind for chore in AREAS.chores} <= set(known)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_an_area_says_of_its_statements_is_there(engine):
    found = statements(engine, AREAS.sql)
    assert {sweep.due for sweep in AREAS.sweeps} == {name for name in found if name.startswith("due.")}
    for aggregate in AREAS.aggregates.values():
        assert aggregate.row is None or aggregate.row in found
        assert aggregate.row or aggregate.snapshot or aggregate.retell, f"{aggregate.type} cannot be told whole"
    offered = {completion.statement for completion in AREAS.completions.values()}
    assert {statement for statement in offered if isinstance(statement, str)} <= set(found)
    assert not [text for text in found.values() if re.search(r"\{\{(?!filters)", text)], "a fragment is missing"


def test_every_argument_of_a_resource_template_that_names_a_thing_can_be_completed():
    arguments = {name for r in RESOURCES for name in re.findall(r"\{\+?([a-z_]+)\}", r.uri_template.split("{?")[0])}
    assert arguments <= set(AREAS.completions)


def test_every_module_of_tools_and_resources_belongs_to_an_area():
    names = {area.name for area in AREAS.all}
    beside = {"attempts", "hints", "nothing", "finishing", "repeats", "facts", "documents", "inbox", "waited"}
    for package, more in (
        ("tools", {"spec", "known", "__init__"} | beside),
        ("resources", {"spec", "__init__", "health"}),
    ):
        assert {path.stem for path in (ROOT / package).glob("*.py")} <= names | more
    assert {tool.name for tool in TOOLS}


def test_an_area_that_is_made_up_is_wired_by_its_record_alone():
    notes = Area("made_up", tables=(Table("made_up"),))
    wired = Areas(*AREAS.all, notes)
    assert wired.tables[-1].name == "made_up" and wired.tables[:-1] == AREAS.tables


RECORDS: dict[str, type[Record]] = {
    **{one.table: one.record for one in AREAS.aggregates.values() if one.table and one.record},
    "archived_tasks": Task,
    "lock_holds": Hold,
    "messages": Message,
    "deliveries": Delivery,
}


def columns(url: str, table: str) -> list[str]:
    backend = make_backend(url, AREAS)
    backend.prepare()
    with snapshot(backend) as connection:
        return [column[0] for column in connection.execute(f"SELECT * FROM {table} LIMIT 0").description]


@pytest.mark.parametrize("table", RECORDS)
def test_a_record_has_exactly_the_columns_of_its_table(url: str, table: str):
    assert set(columns(url, table)) == set(blank_of(RECORDS[table]))


def test_every_table_whose_rows_fold_events_has_a_record():
    assert {one.table for one in AREAS.aggregates.values() if one.table} <= set(RECORDS)


def test_the_archive_has_the_columns_of_tasks_in_their_order(url: str):
    assert columns(url, "tasks") == columns(url, "archived_tasks")


def test_the_layering_inside_an_area_holds_for_every_area():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (inside,) = [contract for contract in contracts if "containers" in contract]
    assert set(inside["containers"]) == {f"mcp_server.domain.{area.name}" for area in AREAS.all}
