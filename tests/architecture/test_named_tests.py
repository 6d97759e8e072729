"""The threat model and the guarantees promise nothing that no test proves."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
NAMED = re.compile(r"`([\w/]+\.py)?(?:::(test_\w+))?`")


@pytest.mark.parametrize("document", ["threat-model.md", "guarantees.md"])
def test_every_test_that_a_promise_names_is_there(document: str):
    named = [found for found in NAMED.findall((ROOT / "docs" / document).read_text()) if any(found)]
    assert len(named) > 15
    path = Path()
    for file, test in named:
        path = ROOT / "tests" / file if file else path
        assert path.is_file(), file
        assert not test or f"def {test}(" in path.read_text(), f"{path.name}::{test}"


def test_every_guarantee_names_one():
    text = (ROOT / "docs" / "guarantees.md").read_text().partition("## Not promised")[0]
    promises = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| promise ")]
    assert len(promises) > 20 and all(NAMED.search(line.rpartition("|")[0]) for line in promises)
