"""The threat model promises nothing that no test proves."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
NAMED = re.compile(r"`([\w/]+\.py)?(?:::(test_\w+))?`")


def test_every_test_that_the_threat_model_names_is_there():
    named = [found for found in NAMED.findall((ROOT / "docs" / "threat-model.md").read_text()) if any(found)]
    assert len(named) > 15
    path = Path()
    for file, test in named:
        path = ROOT / "tests" / file if file else path
        assert path.is_file(), file
        assert not test or f"def {test}(" in path.read_text(), f"{path.name}::{test}"
