"""The desk's own schema in a database that may be others', too: which it is, whether it can be had, and its making.

A schema is a desk's where its table `migrations` has our columns and our first migration. Nothing else is touched.
"""

from typing import Any, NoReturn

from mcp_server.kernel.errors import Unavailable
from mcp_server.kernel.schemas import OWN, quoted
from mcp_server.persistence.migrate import migrations

_SHOWN_MAX = 5
_SHAPE = ["number integer", "name text", "checksum text"]
_DESKS = """
SELECT n.nspname::text FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid
WHERE (n.nspname = %s OR n.nspname = ANY(current_schemas(false))) AND c.relname = 'migrations' AND c.relkind = 'r'
  AND %s = ARRAY(SELECT a.attname || ' ' || format_type(a.atttypid, NULL) FROM pg_attribute a
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)
ORDER BY n.nspname <> %s
"""
_THERE = """
SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY c.relname
"""
_RIGHTS = """
SELECT n.oid IS NOT NULL, has_database_privilege(current_database(), 'CREATE'),
  COALESCE(has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE'), false),
  current_database()::text, current_user::text
FROM (SELECT) AS one LEFT JOIN pg_namespace n ON n.nspname = %s
"""


def resolved(connection: Any, said: str | None, database: str) -> str:
    """The schema that a new connection is for. Where nobody says it, it is `datamcp`, unless the desk lies where the
    connection looks by itself, as those of the first version do: in `public`.

    Raises:
        Unavailable: there are two desks, and nobody says which.
    """
    if said is not None:
        return said
    found = [name for (name,) in connection.execute(_DESKS, (OWN, _SHAPE, OWN)).fetchall() if is_desk(connection, name)]
    if len(found) > 1:
        raise Unavailable(
            f"The database {database} holds more than one desk, in the schemas {' and '.join(found)}.",
            next=f"Say which: --database-schema {found[0]} (DATAMCP_DATABASE_SCHEMA). Nothing was changed.",
        )
    return found[0] if found else OWN


def is_desk(connection: Any, schema: str) -> bool:
    """Whether a desk lies in a schema whose table of migrations looks like ours."""
    first = migrations("postgres")[0]
    query = f"SELECT checksum FROM {quoted(schema)}.migrations WHERE number = %s"  # noqa: S608
    row: Any = connection.execute(query, (first.number,)).fetchone()
    return row is not None and row[0] == first.checksum


def own_or_empty(connection: Any, schema: str, database: str) -> bool:
    """Whether there is a desk in the schema; if not, there is nothing else.

    Raises:
        Unavailable: somebody else's tables lie there.
    """
    there = [name for (name,) in connection.execute(_THERE, (schema,)).fetchall()]
    named = connection.execute(_DESKS, (schema, _SHAPE, schema)).fetchall()
    ours = (schema,) in named
    if not there or (ours and (there == ["migrations"] or is_desk(connection, schema))):
        return bool(there)
    more = f" and {len(there) - _SHOWN_MAX} more" if len(there) > _SHOWN_MAX else ""
    raise Unavailable(
        f"The schema {schema} of the database {database} holds something that is not this server's: "
        f"{', '.join(there[:_SHOWN_MAX])}{more}.",
        next="Name a schema that is empty or not there yet with --database-schema (DATAMCP_DATABASE_SCHEMA), such as "
        f"{OWN}. Nothing was changed.",
    )


def make(connection: Any, schema: str, database: str) -> None:
    """Make the schema where there is none.

    Raises:
        Unavailable: somebody else's tables lie there, or this user may not make it, or nothing in it.
    """
    if own_or_empty(connection, schema, database):
        return
    exists, may_create, may_use, name, user = connection.execute(_RIGHTS, (schema,)).fetchone()
    if exists and not may_use:
        _refuse(f"use the schema {schema}", database, user, f"USAGE, CREATE ON SCHEMA {quoted(schema)}")
    if not exists and not may_create:
        _refuse(f"make the schema {schema}", database, user, f"CREATE ON DATABASE {quoted(name)}", schema)
    if not exists:
        connection.execute(f"CREATE SCHEMA {quoted(schema)}")


def _refuse(what: str, database: str, user: str, right: str, schema: str | None = None) -> NoReturn:
    made = "" if schema is None else f", or CREATE SCHEMA {quoted(schema)} AUTHORIZATION {quoted(user)}"
    raise Unavailable(
        f"The user {user} may not {what} in the database {database}.",
        next=f"Let its owner run: GRANT {right} TO {quoted(user)}{made}. Nothing was changed.",
    )
