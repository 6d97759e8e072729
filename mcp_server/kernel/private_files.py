"""The files and folders that this program makes: their user's alone from the first moment, whatever the umask says,
and never through a link that somebody left in their place.

Everything that writes a file goes through here, so that there is one place to look at. On Windows modes mean nothing:
there a file has the rights of its folder, and a user's folders are that user's.
"""

from __future__ import annotations

import contextlib
import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import BinaryIO

    Name = str | os.PathLike[str]

FILE_MODE = 0o600
FOLDER_MODE = 0o700
_SAFE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def make_folder(path: Name) -> None:
    """Make a folder, with those above it that are missing; one that is there stays as it is.

    Raises:
        OSError: it cannot be made, or the way to it leads over a link of another user's.
    """
    folder = os.path.abspath(path)
    require_own_links(folder)
    missing = list[str]()
    while not os.path.lexists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for one in reversed(missing):
        with contextlib.suppress(FileExistsError):  # another process was as quick
            os.mkdir(one, FOLDER_MODE)
    if not os.path.isdir(path):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


def require_own_links(path: Name) -> None:
    """Refuse a path that a link of another user's leads away: whoever may write to a folder like /tmp can leave one.

    Raises:
        PermissionError: naming the link.
    """
    if not hasattr(os, "geteuid"):
        return
    trusted = {0, os.geteuid()}
    one = os.path.abspath(path)
    while one != os.path.dirname(one):
        if os.path.islink(one) and os.lstat(one).st_uid not in trusted:
            raise PermissionError(errno.EPERM, f"{one} is a link that another user made", one)
        one = os.path.dirname(one)


def create(path: Name) -> int:
    """A descriptor for writing a file that is not there yet.

    Raises:
        FileExistsError: something is there, be it a link that leads nowhere.
        OSError: it cannot be made.
    """
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFE, FILE_MODE)


def append(path: Name) -> int:
    """A descriptor for writing to the end of a file, which need not be there.

    Raises:
        OSError: it cannot be opened, or is a link.
    """
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | _SAFE, FILE_MODE)


def both_ways(path: Name) -> int:
    """A descriptor for reading and writing a file as it is, which need not be there.

    Raises:
        OSError: it cannot be opened, or is a link.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | _SAFE, FILE_MODE)


def leave_empty(path: Name) -> None:
    """Have a file there, for a library that opens files by itself; what is there stays as it is. Where a link of this
    user's leads elsewhere, that is where it is made.

    Raises:
        OSError: it cannot be made, or the way to it leads over a link of another user's.
    """
    require_own_links(path)
    with contextlib.suppress(FileExistsError):
        os.close(create(os.path.realpath(path)))


def part_of(path: Name) -> str:
    """A name beside a file that nobody can know before, under which it is written until it is whole."""
    return f"{os.fspath(path)}.{os.urandom(6).hex()}.part"


@contextlib.contextmanager
def replacing(path: Name, *, is_durable: bool = False) -> Generator[BinaryIO]:
    """A file that stands under its name once it is whole, in the place of what stood there, be it a link; if
    `is_durable`, so that a power cut does not take it.

    Raises:
        OSError: it cannot be written. Then everything is as it was.
    """
    part = part_of(path)
    file = create(part)
    try:
        with os.fdopen(file, "wb") as stream:
            yield stream
            if is_durable:
                stream.flush()
                os.fsync(stream.fileno())
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise


def put(path: Name, content: str | bytes) -> None:
    """Have a file hold this; who reads it meanwhile finds all of it, or what was there before.

    Raises:
        OSError: it cannot be written.
    """
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)
