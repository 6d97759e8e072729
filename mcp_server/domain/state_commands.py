"""What is asked of documents: plain values between services and the store."""

from dataclasses import dataclass
from typing import Any

from mcp_server.domain.json_tools import PatchOperation, json_patch, merge_patch
from mcp_server.domain.state import WriteSpec
from mcp_server.domain.values import RawJson


@dataclass(frozen=True, slots=True)
class Set:
    """Write a value; with `base_version`, merge with what was written since."""

    namespace: str
    key: str
    value: RawJson
    spec: WriteSpec
    base_version: int | None


@dataclass(frozen=True, slots=True)
class Patch:
    """Change the current value by `operations` (RFC 6902), or else by `merge` (RFC 7386)."""

    namespace: str
    key: str
    merge: Any
    operations: tuple[PatchOperation, ...] | None
    spec: WriteSpec

    def apply(self, current: Any) -> Any:
        """The value after the patch."""
        return merge_patch(current, self.merge) if self.operations is None else json_patch(current, self.operations)


@dataclass(frozen=True, slots=True)
class Restore:
    """Write the value of an earlier version again."""

    namespace: str
    key: str
    version: int
    spec: WriteSpec
