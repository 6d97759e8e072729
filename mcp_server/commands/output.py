"""What commands print to."""

import sys


def break_on_no_character() -> None:
    """A pipe on Windows takes the characters of one code page: others are written as escapes, as they are to stderr."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)  # there may be no stdout
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
