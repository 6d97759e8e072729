"""How documents are wired into the house."""

from operator import itemgetter

from mcp_server.domain.state import replay
from mcp_server.domain.state.model import Document
from mcp_server.domain.state.righting import right
from mcp_server.domain.state.transactions import expire
from mcp_server.kernel.area import Aggregate, Area, Completion, Righting, Searched, Sweep, Table
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.searching import fold_json
from mcp_server.kernel.telling import Telling, whole

_VERSION = "sha256 bytes author tags expires_at deleted updated_at"
_WRITTEN = Telling.of(_VERSION, "namespace key created_at note")

AREA = Area(
    name="state",
    toolset="state",
    tables=(
        Table("documents"),
        Table("document_tags", key=2, exported=False),
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
            events={
                "set": _WRITTEN,
                "patched": Telling.of(_VERSION, "namespace key created_at note changed_paths"),
                "restored": Telling.of(_VERSION, "note"),
                "deleted": Telling.of("author deleted updated_at", "note"),
                "expired": Telling.of("deleted"),
                "righted": Telling.of("updated_at", "expires_at"),
                "snapshot": Telling.of(f"id {whole(Document)} versions_sha256"),
            },
            seen_by=Permission.STATE_READ,
            record=Document,
            beside={"versions_sha256": str, "note": str, "changed_paths": list[str]},
            table="documents",
            row="document_for_update",
            json=frozenset(("tags",)),
            hidden=frozenset(("sha256", "bytes", "versions_sha256")),
            told={"deleted": lambda deleted: bool(deleted) or None, "tags": lambda tags: tags or None},
            uris=lambda id_: {f"ops://state/{id_}"},
            replay=replay.replay,
            snapshot=replay.snapshot,
            restore=replay.restore,
        ),
    ),
    searched=(Searched("document", "documents_every", lambda row: fold_json(row["value"] or "null")),),
    sweeps=(Sweep("due.documents", "expired_documents", expire, itemgetter("id")),),
    rightings=(Righting("documents_ahead", right, itemgetter("id")),),
    completions={
        "namespace": Completion("complete_namespaces", Permission.STATE_READ),
        "key": Completion("complete_keys", Permission.STATE_READ, needs=("namespace",)),
    },
)
