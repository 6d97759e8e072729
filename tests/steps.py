"""What transactions do, counted: what it costs everybody else, where time would decide no test."""

from collections import Counter
from typing import Any

import pytest

from mcp_server.persistence.postgres.transaction import PostgresTransaction
from mcp_server.persistence.sqlite.transaction import SqliteTransaction


def counting_statements(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each named statement is run from now on, rows and events that are written apart."""
    found: Counter[str] = Counter()
    for kind in (SqliteTransaction, PostgresTransaction):
        monkeypatch.setattr(kind, "_execute", _counted(kind, found))
    return found


def _counted(kind: type[Any], found: Counter[str]) -> Any:
    execute = kind._execute

    def counted(tx: Any, statement: str, parameters: dict[str, Any]) -> Any:
        found[statement] += 1
        return execute(tx, statement, parameters)

    return counted
