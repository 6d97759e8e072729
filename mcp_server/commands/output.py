"""What commands print to."""

import contextlib
import errno
import sys
from collections.abc import Generator


def break_on_no_character() -> None:
    """A pipe on Windows takes the characters of one code page: others are written as escapes, as they are to stderr."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)  # there may be no stdout
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def told_where_it_cannot_be_written() -> Generator[None]:
    """Say in one line that the disk or the pipe to which a command prints takes no more, and fail."""
    try:
        yield
    except OSError as error:
        if error.errno not in _TAKES_NO_MORE:
            raise
        with contextlib.suppress(OSError):
            sys.stderr.write(f"data-mcp-server-agent: What this command says cannot be written: {error.strerror}.\n")
        sys.exit(1)


_TAKES_NO_MORE = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG}
