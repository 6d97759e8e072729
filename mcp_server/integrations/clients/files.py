"""Reading and writing a client's file so that nothing is ever lost: a copy beside it first, then one rename."""

import contextlib
import errno
import glob
import os
import stat
import tempfile
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path

from mcp_server.kernel import private_files
from mcp_server.kernel.errors import Conflict, Unavailable, ValidationFailed

_MARK = b"\xef\xbb\xbf"
SIZE_MAX = 64 * 2**20
"""Of a file that is read."""
BACKUPS_MAX = 5
"""How many copies are looked at."""


def read(path: Path) -> bytes | None:
    """What a file holds; None where there is none.

    Raises:
        Unavailable: it cannot be read, or is no file.
        ValidationFailed: it is too large.
    """
    with _told(path, "cannot be read"):
        try:
            status = path.stat()
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(status.st_mode):  # a pipe would never end
            raise Unavailable(f"{path} is no file.", next="Take it out of the way, and run the command again.")
        if status.st_size > SIZE_MAX:
            raise ValidationFailed(
                f"{path} has {status.st_size:,} bytes, more than {SIZE_MAX:,}.", next="Add the server by hand."
            )
        return path.read_bytes()


def decoded(data: bytes | None) -> str:
    """The text of a file, without a mark of byte order; nothing where there is no file.

    Raises:
        ValidationFailed: it is not UTF-8.
    """
    try:
        return (data or b"").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValidationFailed("It is not UTF-8.", next="Save it as UTF-8, and run the command again.") from None


def encoded(text: str, like: bytes | None) -> bytes:
    """The bytes of a text, with a mark of byte order where the file had one.

    Raises:
        ValidationFailed: a path or name in it is no text.
    """
    mark = _MARK if (like or b"").startswith(_MARK) else b""
    try:
        return mark + text.encode()
    except UnicodeEncodeError:
        raise ValidationFailed("A path in the command is no UTF-8.", next="Install from another folder.") from None


def require_writable(path: Path) -> None:
    """Refuse to write a file whose owner may not write it. Another could be put in its place all the same, and root may
    write anything; but whoever took that right away, a person or a tool that makes such files itself, meant it.

    Raises:
        Unavailable: it is read-only.
    """
    target = _target(path)
    with _told(path, "cannot be written"):
        if target.exists() and not target.stat().st_mode & stat.S_IWUSR:
            raise PermissionError(errno.EACCES, "it is read-only")


def back_up(path: Path, data: bytes, now: datetime) -> Path:
    """Keep what a file held beside it, for those alone who may read the file; never over another copy.

    Raises:
        Unavailable: it cannot be written.
    """
    target = _target(path)
    base = f"{target.name}.bak-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    with _told(target, "cannot be copied"):
        for number in range(1, 1000):
            copy = target.with_name(base if number == 1 else f"{base}-{number}")
            with contextlib.suppress(FileExistsError):
                with os.fdopen(private_files.create(copy), "wb") as stream:
                    _opened_like(stream.fileno(), target)
                    stream.write(data)
                return copy
    raise Unavailable(f"{target} has a thousand copies.", next="Take some of them away.")


def backups(path: Path) -> Generator[bytes]:
    """What the copies beside a file hold, the newest first."""
    target = _target(path)
    copies = sorted(target.parent.glob(f"{glob.escape(target.name)}.bak-*"), reverse=True)
    for copy in copies[:BACKUPS_MAX]:
        with contextlib.suppress(OSError):
            yield copy.read_bytes()


def replace(path: Path, data: bytes | None, before: bytes | None) -> None:
    """Put a file in another's place in one step, or take it away; where it is a link, what the link leads to.

    Args:
        path: of the file.
        data: what it shall hold; None: it shall not be there.
        before: what it holds, as far as is known.

    Raises:
        Conflict: it holds something else by now.
        Unavailable: it cannot be written; then it is as it was.
    """
    target = _target(path)
    if read(target) != before:
        raise Conflict(f"{path} was changed by another program just now.", next="Run the command again.")
    with _told(path, "cannot be written"):
        if data is None:
            target.unlink()
            return
        private_files.make_folder(target.parent)
        _put(target, data)


def _put(target: Path, data: bytes) -> None:
    file, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".new", dir=target.parent)
    new = Path(name)
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        if target.exists():
            _dressed(new, target.stat())
        new.replace(target)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _opened_like(copy: int, target: Path) -> None:
    """Let those read a copy, which is its owner's alone so far, who may read the file."""
    if hasattr(os, "fchmod") and target.exists():
        os.fchmod(copy, stat.S_IMODE(target.stat().st_mode))


def _dressed(new: Path, old: os.stat_result) -> None:
    """Give a file the mode and the owner of the one whose place it takes."""
    new.chmod(stat.S_IMODE(old.st_mode))
    if hasattr(os, "chown"):
        with contextlib.suppress(PermissionError):
            os.chown(new, old.st_uid, old.st_gid)


def _target(path: Path) -> Path:
    with _told(path, "leads nowhere"):
        return path.resolve()


@contextlib.contextmanager
def _told(path: Path, what: str) -> Generator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:  # a circle of links is a RuntimeError before Python 3.13
        why = getattr(error, "strerror", None) or str(error)
        raise Unavailable(f"{path} {what}: {why}.", next="Nothing was changed; see to it and try again.") from None
