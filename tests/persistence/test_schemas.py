"""A desk keeps to a schema of its own, in a database that may be others', too."""

import io
from collections.abc import Generator

import psycopg
import pytest

from mcp_server.config import load_settings
from mcp_server.domain.areas import AREAS
from mcp_server.hooks.reading import open_desk
from mcp_server.hooks.settings import Settings as HookSettings
from mcp_server.hooks.settings import read_settings
from mcp_server.kernel.errors import Unavailable, ValidationFailed
from mcp_server.kernel.schemas import split_schema, with_schema
from mcp_server.persistence.database import Database
from mcp_server.persistence.postgres.backend import PostgresBackend
from mcp_server.persistence.statements import statements
from mcp_server.upkeep import transfer
from mcp_server.upkeep.inspection import inspect_database, replay_database
from tests.conftest import PostgresForTests
from tests.persistence.test_database import WITH_NOTES, note, noted
from tests.world import open_world

pytestmark = pytest.mark.anyio
HOSTILE = 'desk"; DROP SCHEMA public; --'


@pytest.fixture
def bare_url(postgres: PostgresForTests) -> Generator[str]:
    """A database in which nothing lies yet."""
    postgres.connection.execute("CREATE DATABASE bare")
    yield postgres.get_uri("bare")
    postgres.connection.execute("DROP DATABASE bare WITH (FORCE)")


def relations(url: str) -> set[str]:
    """Everything that lies in the database, with its schema."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname !~ '^(pg_|information_schema)'"
        ).fetchall()
    return {name for (name,) in rows}


def schemas(url: str) -> set[str]:
    return {name.partition(".")[0] for name in relations(url)}


def run(url: str, sql: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql)  # type: ignore[arg-type]


def prepared(url: str, schema: str | None = None) -> str:
    """Where a desk lies after a start."""
    backend = PostgresBackend(with_schema(url, schema), AREAS)
    backend.prepare()
    return backend.server.schema


async def test_two_desks_in_one_database_neither_see_nor_wake_nor_hold_up_each_other(bare_url: str):
    ones, others = with_schema(bare_url, "One-Desk"), with_schema(bare_url, "two")
    one, other = await Database.open(ones, WITH_NOTES), await Database.open(others, WITH_NOTES)
    try:
        with psycopg.connect(bare_url, autocommit=True) as news:
            news.execute('LISTEN "datamcp_events_One-Desk"; LISTEN datamcp_events_two')
            for name, database, channel in (("a", one, "datamcp_events_One-Desk"), ("b", other, "datamcp_events_two")):
                await database.write(note, name)
                assert await noted(database) == [name]
                told = next(news.notifies(timeout=60))
                assert told.channel == channel
        assert schemas(bare_url) == {"One-Desk", "two"}
    finally:
        await one.close()
        await other.close()
    guard = statements("postgres", AREAS.sql)["lock_guard_all"]
    with psycopg.connect(bare_url) as holder, psycopg.connect(bare_url) as waiter:
        holder.execute("SET search_path = two; SET lock_timeout = '100ms'")
        waiter.execute("SET search_path = \"One-Desk\"; SET lock_timeout = '100ms'")
        holder.execute(guard)  # type: ignore[arg-type]
        waiter.execute(guard)  # type: ignore[arg-type]
        waiter.rollback()
        waiter.execute("SET search_path = two; SET lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            waiter.execute(guard)  # type: ignore[arg-type]


async def test_a_desk_in_any_schema_is_read_checked_moved_and_rebuilt_there(bare_url: str):
    url = with_schema(bare_url, "Other-desk")
    async with open_world(url) as world:
        agent = await world.agent()
        await world.task()
        await world.finish(await world.claim_one(agent))
        await world.write("plans", "one", {"a": 1})
    assert schemas(bare_url) == {"Other-desk"}
    found = {finding.name: finding for finding in inspect_database(url)}
    assert found["database_schema"].detail == "The desk lies in the schema Other-desk." and found["documents"].ok
    assert replay_database(url).ok
    exported = io.BytesIO()
    rows = transfer.export(url, exported, 1).rows
    moved = transfer.import_(with_schema(bare_url, "moved"), io.BytesIO(exported.getvalue())).rows
    assert moved == rows and rows["tasks"] == 1
    desk = open_desk(read_settings({}, {"DATAMCP_DATABASE": bare_url, "DATAMCP_DATABASE_SCHEMA": "Other-desk"}))
    assert desk is not None
    assert desk.first("agents", "agent_glance", reference=agent.id) is not None
    desk.close()


def test_what_is_somebody_elses_is_named_and_never_touched(bare_url: str):
    run(bare_url, "CREATE SCHEMA shop; CREATE TABLE shop.tasks (id int); CREATE TABLE shop.migrations (version int)")
    before = relations(bare_url)
    with pytest.raises(Unavailable, match=r"schema shop .* not this server's: migrations, tasks\..*--database-schema"):
        prepared(bare_url, "shop")
    (finding,) = [one for one in inspect_database(with_schema(bare_url, "shop")) if not one.ok]
    assert finding.name == "database_schema" and "migrations, tasks" in finding.detail
    assert relations(bare_url) == before


def test_where_public_is_somebody_elses_the_desk_lies_beside_it(bare_url: str):
    run(bare_url, "CREATE TABLE public.tasks (id int); CREATE TABLE public.migrations (id int)")
    assert prepared(bare_url) == "datamcp"
    assert {name for name in relations(bare_url) if name.startswith("public.")} == {"public.tasks", "public.migrations"}


def test_what_an_extension_made_is_in_nobodys_way(bare_url: str):
    run(bare_url, "CREATE SCHEMA desk; CREATE TABLE desk.x (); ALTER EXTENSION plpgsql ADD TABLE desk.x")
    assert prepared(bare_url, "desk") == "desk"


def test_a_desk_that_the_first_version_made_in_public_is_used_there(bare_url: str):
    prepared(bare_url, "public")
    assert prepared(bare_url) == "public"
    assert schemas(bare_url) == {"public"}
    told = {finding.name: finding.detail for finding in inspect_database(bare_url)}
    assert told["database_schema"] == "The desk lies in the schema public; new ones are made in datamcp."


def test_of_two_desks_one_is_named_or_none_is_used(bare_url: str):
    for schema in ("public", "datamcp"):
        prepared(bare_url, schema)
    with pytest.raises(Unavailable, match="datamcp and public.*--database-schema datamcp"):
        prepared(bare_url)
    assert prepared(bare_url, "public") == "public"


def test_who_may_make_no_schema_is_told_the_grant_and_gets_on_with_one_that_is_given(
    bare_url: str, postgres: PostgresForTests
):
    postgres.connection.execute("CREATE ROLE clerk LOGIN")
    theirs = bare_url.replace("postgres:@", "clerk:@")
    try:
        with pytest.raises(Unavailable, match='GRANT CREATE ON DATABASE "bare" TO "clerk"'):
            prepared(theirs)
        run(bare_url, "CREATE SCHEMA datamcp")
        with pytest.raises(Unavailable, match='GRANT USAGE, CREATE ON SCHEMA "datamcp" TO "clerk"'):
            prepared(theirs)
        assert relations(bare_url) == set()
        run(bare_url, "GRANT USAGE, CREATE ON SCHEMA datamcp TO clerk")
        assert prepared(theirs) == "datamcp"
        run(bare_url, "ALTER TABLE datamcp.events OWNER TO postgres; ALTER TABLE datamcp.migrations OWNER TO postgres")
        with pytest.raises(Unavailable, match=r"permission denied for table migrations.*GRANT ALL ON ALL TABLES"):
            prepared(theirs)
    finally:
        run(bare_url, "DROP SCHEMA IF EXISTS datamcp CASCADE")
        postgres.connection.execute("DROP ROLE clerk")


@pytest.mark.parametrize("name", [HOSTILE, "pg_desk", "information_schema", "", "a" * 41, "de sk", "1"])
def test_a_name_that_is_none_is_refused(name: str):
    with pytest.raises(ValidationFailed, match="cannot be the schema of a desk"):
        split_schema(with_schema("postgresql://h/d", name))


def test_the_schema_goes_with_the_url_and_the_driver_never_sees_it(monkeypatch: pytest.MonkeyPatch):
    url = "postgresql://me@h/d?host=/a%20b&application_name=x"
    assert split_schema(with_schema(url, "desk")) == (url, "desk")
    assert split_schema(with_schema(with_schema(url, "one"), "two"))[1] == "two"
    assert with_schema("sqlite:///a.db", "desk") == "sqlite:///a.db"
    settings = load_settings(database="postgresql://h/d", database_schema="desk")
    assert settings.database_url == "postgresql://h/d?schema=desk"
    assert HookSettings({"database": "postgresql://h/d", "database_schema": "desk"}).database == settings.database_url
    with pytest.raises(ValidationFailed):
        load_settings(database="postgresql://h/d", database_schema=HOSTILE)
