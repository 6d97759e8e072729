"""What is asked of documents: the arguments of the tools as service and transaction take them."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self, cast

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from mcp_server.domain.state.model import DOCUMENT_BYTES_MAX, Key, Namespace
from mcp_server.domain.state.operators import of_operators, said_of_operators
from mcp_server.domain.state.steps import PatchStep
from mcp_server.domain.state.words import by_its_patch, require_our_words
from mcp_server.kernel.arguments import Listing
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.json_text import RawJson, check_json
from mcp_server.kernel.meaning import Meant
from mcp_server.kernel.numbered import numbered
from mcp_server.kernel.searching import Sought
from mcp_server.kernel.together import LIKE, meant, not_together
from mcp_server.kernel.values import Frozen, Line, Word, converted

DocumentValue = Annotated[Any, converted(lambda value: check_json(value, "value", DOCUMENT_BYTES_MAX))]


def _whole(given: Any) -> Any:
    """An address in one text, where it stands as `namespace` and `key`, or as a URI."""
    said: dict[str, Any] = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    if said.keys() == {"namespace", "key"}:
        return f"{said['namespace']}/{said['key']}"
    return given.removeprefix(_URI) if isinstance(given, str) else cast("Any", given)


_URI = "ops://state/"
WholeAddress = Annotated[
    str,
    BeforeValidator(_whole),
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}/[^\x00]{1,512}$"),
    Meant("namespace/key of a document", "notes/today"),
]

_ADDRESS = re.compile(r"([^/]+)/(.+)", re.DOTALL)


def _apart(given: Any, whole: str, rest: str) -> Any:
    """The address of a document apart, where it stands whole in one argument: `notes/today`."""
    said: dict[str, Any] = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    alone = not any(said.get(name) for name in {"namespace", rest} - {whole})
    text = said.get(whole)
    text = text.removeprefix(_URI) if isinstance(text, str) else text
    found = _ADDRESS.fullmatch(text) if alone and isinstance(text, str) else None
    return cast("Any", given) if found is None else said | {"namespace": found[1], rest: found[2]}


class Addressed(Frozen):
    """Which document."""

    namespace: Namespace
    key: Key

    @model_validator(mode="before")
    @classmethod
    def _from_its_whole_address(cls, given: Any) -> Any:
        return _apart(_apart(given, "key", "key"), "namespace", "key")


class GetDocument(Addressed):
    """A document is read, now or at an earlier version."""

    version: Annotated[int | None, BeforeValidator(numbered("state_history", newest=True))] = Field(default=None, ge=1)


class SetDocument(Addressed):
    """A value is written, or taken away; with `base_version`, merged with what was written since.

    Attributes:
        value: checked JSON text; None where no value was given.
        copy_of: the document whose value is written, as it stands then.
    """

    value: DocumentValue = Field(default=None, examples=[{"done": True}])
    copy_of: WholeAddress | None = Field(default=None, description="namespace/key, for value")
    delete: bool = Field(default=False, description="Take the value away; state_restore brings it back")
    expected_version: int | None = Field(default=None, ge=0)
    note: Line | None = None
    ttl_seconds: float | None = Field(default=None, gt=0, le=10 * 365 * 86_400, allow_inf_nan=False)
    tags: tuple[Word, ...] | None = Field(default=None, max_length=32)
    merge: bool = Field(default=False, description="Merge with what others wrote since base_version")
    base_version: int | None = Field(default=None, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _in_our_words(cls, given: Any) -> Any:
        if isinstance(given, dict):
            require_our_words(cast("dict[str, Any]", given))
        return cast("Any", given)

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        self._require_one_value()
        if self.merge != (self.base_version is not None):
            raise not_together(
                "merge needs base_version, the version you started from; base_version needs merge=true.",
                base_version=LIKE if self.base_version is None else self.base_version,
                merge=True,
            )
        return self

    def _require_one_value(self) -> None:
        given = [self.value is not None, self.copy_of is not None, self.delete]
        if given[1]:
            self._require_a_copy_alone()
        elif sum(given) > 1:
            raise not_together(_ONE_VALUE, delete=None)
        elif not any(given):
            raise ValidationFailed(
                f"{_ONE_VALUE} A write replaces the whole document: for tags or ttl_seconds alone, read it and write "
                "its value again (state_get; expected_version); state_patch changes parts"
            )

    def _require_a_copy_alone(self) -> None:
        if self.value is not None or self.delete or self.merge:
            raise not_together(f"{_ONE_VALUE} A copy is not merged.", copy_of=None)

    def copied(self) -> Addressed | None:
        """The document whose value is written; None where it is another than one that is there."""
        if self.copy_of is None:
            return None
        namespace, _, key = self.copy_of.partition("/")
        return Addressed(namespace=namespace, key=key)

    def holding(self, value: RawJson, note: str | None = None) -> Self:
        """The same with the value of the document that it copies."""
        return self.model_copy(update={"value": value, "copy_of": None, "note": self.note or note})


_ONE_VALUE = "Give exactly one of value, copy_of and delete=true."


class PatchDocument(Addressed):
    """The current value is changed by one of the two patches."""

    merge_patch: dict[str, Any] | None = Field(default=None, description="RFC 7386", examples=[{"done": True}])
    json_patch: tuple[PatchStep, ...] | None = Field(
        default=None, max_length=500, description="RFC 6902; increment adds value"
    )
    expected_version: int | None = Field(default=None, ge=0)
    note: Line | None = None

    @model_validator(mode="before")
    @classmethod
    def _as_the_patch_that_it_is(cls, given: Any) -> Any:
        return by_its_patch(cast("dict[str, Any]", given)) if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _no_operators(self) -> Self:
        right = of_operators(self.merge_patch)
        if self.merge_patch is None or right is None:
            return self
        change = {"merge_patch": None, "json_patch": None} | right if right else {}
        raise meant(f"{said_of_operators(self.merge_patch)}.", **change)

    @model_validator(mode="after")
    def _one_patch(self) -> Self:
        said = "Give exactly one of merge_patch and json_patch"
        if self.merge_patch is not None and self.json_patch is not None:
            raise not_together(f"{said}.", json_patch=None)
        if self.merge_patch is None and self.json_patch is None:
            raise ValidationFailed(
                f'{said}: merge_patch={{"done": true}} sets a member, '
                'json_patch=[{"op": "remove", "path": "/draft"}] takes one away'
            )
        return self


class RestoreDocument(Addressed):
    """The value of an earlier version is written again."""

    version: Annotated[int, BeforeValidator(numbered("state_history"))] = Field(ge=1, examples=[3])
    expected_version: int | None = Field(default=None, ge=0)
    note: Line | None = None


class DocumentHistory(Addressed):
    """A document's versions are listed."""

    INSTEAD: ClassVar[Mapping[str, str]] = {
        "limit": "from_version and to_version narrow the list",
        "path": "diff=true tells at which paths each version differs from the one before",
    }

    from_version: int | None = Field(default=None, ge=1)
    to_version: int | None = Field(default=None, ge=1)
    diff: bool = False

    def compares(self) -> bool:
        """Whether what changed is asked for: said so, or by two versions."""
        return self.diff or None not in (self.from_version, self.to_version)


class FindDocuments(Listing):
    """Documents are listed, narrowed by what is given."""

    INSTEAD: ClassVar[Mapping[str, str]] = {"key": "prefix narrows by its beginning; state_get reads one document"}

    namespace: Namespace | None = None
    prefix: Sought | None = None
    tag: Sought | None = None
    text: Sought | None = None
    deleted: bool = False

    @model_validator(mode="before")
    @classmethod
    def _from_a_whole_address(cls, given: Any) -> Any:
        return _without_star(_apart(given, "namespace", "prefix"))


def _without_star(given: Any) -> Any:
    """A prefix stands for all that begins so: `to*` is `to`."""
    said: dict[str, Any] = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    prefix = str(said.get("prefix"))
    return said | {"prefix": prefix[:-1]} if prefix.endswith("*") else cast("Any", given)


class ListKeys(Frozen):
    """The keys of a namespace are listed, from after a key on."""

    namespace: Namespace
    prefix: Sought = ""
    after: str | None = None
    limit: int = Field(default=1000, ge=1, le=1001)
