"""Programs that the operator declared and this machine does not have."""

import os
import shutil
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path


def lacking(programs: Iterable[str], env: Mapping[str, str]) -> list[str]:
    """That declared programs are not on this machine; one within a folder that is relative is found by its command."""
    found = partial(shutil.which, path=env.get("PATH"))
    # Where they should be is the operator's to know: a model reads this.
    gone = {Path(one).name for one in programs if (os.sep not in one or Path(one).is_absolute()) and found(one) is None}
    return [
        f"This server finds no {one}, so applying fails: the operator installs it here, or corrects [targets] in the "
        "TOML file."
        for one in sorted(gone)
    ]
