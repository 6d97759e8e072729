"""What a check finds wrong in a file, a document or an answer is said in the words of whoever wrote it."""

import re
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import mcp_server
from mcp_server.kernel.complaints import complaints

THEIRS = re.compile(r"Input|Field required|Extra|Value |should|valid |dictionary|tuple|instance|parse|bytes|NoneType")


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    number: int = Field(ge=1, le=9)
    part: float = Field(gt=0, lt=1, allow_inf_nan=False)
    word: Literal["a", "b"]


class Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=2, max_length=3, pattern="^[a-z]+$")
    on: bool
    data: bytes
    several: tuple[str, ...] = Field(min_length=1, max_length=2)
    inner: Inner | None = None
    any_of: int | list[str] = 1
    table: dict[str, int] = Field(default={}, max_length=1)


HOSTILE: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["number", "part", "word", "x"]), inner)
    ),
    max_leaves=8,
)


@settings(deadline=None, database=None, derandomize=True)
@given(HOSTILE | st.fixed_dictionaries({}, optional=dict.fromkeys([*Document.model_fields, "extra"], HOSTILE)))
def test_no_complaint_is_in_the_librarys_words(value: Any):
    try:
        Document.model_validate(value)
    except ValidationError as error:
        said = complaints(error, 50)
        assert said and not THEIRS.search(said.replace("any_of.list[str]", "")), said


@pytest.mark.parametrize("folder", ["mcp_server", "tools", "resources"])
def test_nobody_else_passes_the_librarys_words_on(folder: str):
    root = Path(mcp_server.__file__).parent.parent / folder
    passing = [path.name for path in root.rglob("*.py") if re.search(r"""\[["']msg["']\]""", path.read_text("utf-8"))]
    assert set(passing) <= {"complaints.py", "problems.py"}
