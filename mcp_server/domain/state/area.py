"""How documents are wired into the house."""

from operator import itemgetter

from mcp_server.domain.state import replay
from mcp_server.domain.state.righting import right
from mcp_server.domain.state.transactions import expire
from mcp_server.kernel.area import Aggregate, Area, Completion, Righting, Sweep, Table
from mcp_server.kernel.authority import Permission

AREA = Area(
    name="state",
    toolset="state",
    tables=(
        Table("documents"),
        Table(
            "document_versions",
            key=2,
            rebuilt="SELECT document_id, version, sha256, bytes, author, at FROM document_versions "
            "ORDER BY document_id, version",
            condensed=replay.condensed,
        ),
    ),
    aggregates=(
        Aggregate(
            "document",
            events=("set", "patched", "restored", "deleted", "expired", "righted"),
            seen_by=Permission.STATE_READ,
            table="documents",
            row="document_for_update",
            json=frozenset(("tags",)),
            uris=lambda id_: {f"ops://state/{id_}"},
            replay=replay.replay,
            snapshot=replay.snapshot,
            restore=replay.restore,
        ),
    ),
    sweeps=(Sweep("due.documents", "expired_documents", expire, itemgetter("id")),),
    rightings=(Righting("documents_ahead", right, itemgetter("id")),),
    completions={
        "namespace": Completion("complete_namespaces", Permission.STATE_READ),
        "key": Completion("complete_keys", Permission.STATE_READ, needs=("namespace",)),
    },
)
