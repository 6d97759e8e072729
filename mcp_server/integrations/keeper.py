"""Runs one command and writes down how it ended, whoever is left to read it. Started by `kept` as a process of its own,
with nothing but the standard library; what it needs comes on stdin, so that no secret stands on a disk.

The lock on the folder is held by the keeper and by the command: as long as either lives, nobody runs it again.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

OUTPUT_BYTES_MAX = 8 * 1024 * 1024
LOOK_EVERY_SECONDS = 0.1
PATIENCE_SECONDS = 5.0
"""How long what is told to end may take before it is killed."""


def main() -> int:
    """Run the command of the folder named by the only argument, unless somebody does or has done so."""
    folder, told = Path(sys.argv[1]), json.load(sys.stdin)
    umask = os.umask(0o077)  # what it writes here is its user's alone; the command has the umask that was there
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    if not _locked(lock) or (folder / "result.json").exists():
        return 0
    if os.fork():
        return 0  # whoever started this need not wait for it, nor bury it
    os.setsid()
    began, stopped = time.monotonic(), list[int]()
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    (folder / "started").write_text(str(os.getpid()))
    result = _run(told | {"umask": umask}, folder, lock, stopped) | {"seconds": round(time.monotonic() - began, 3)}
    hide_all(folder, told["hidden"])
    part = folder / "result.part"
    with part.open("w") as file:
        json.dump(result, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / "result.json")
    return 0


def _locked(lock: int) -> bool:
    """Take the lock; who only looks whether it is held has it for a moment."""
    import fcntl

    for _ in range(10):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(LOOK_EVERY_SECONDS / 5)
        else:
            return True
    return False


def _run(told: dict[str, Any], folder: Path, lock: int, stopped: list[int]) -> dict[str, Any]:
    said = folder / "stdin"
    said.write_text(told["stdin"])  # a command need not read it, so it is no pipe
    outputs = folder / "stdout", folder / "stderr"
    try:
        with said.open("rb") as stdin, outputs[0].open("ab") as out, outputs[1].open("ab") as err:
            process = subprocess.Popen(  # noqa: S603 - what the operator declared, and no shell
                told["argv"],
                cwd=told["cwd"],
                env=told["env"],
                umask=told["umask"],
                stdin=stdin,
                stdout=out,
                stderr=err,
                pass_fds=(lock,),
                process_group=0,
            )
    except (OSError, ValueError) as error:
        return {"exit_code": None, "error": f"{told['argv'][0]} cannot be started: {error}"}
    deadline = time.monotonic() + told["seconds_max"]
    while process.poll() is None and not stopped and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY_SECONDS)
        for output in outputs:
            bound(output)
    if process.poll() is not None:
        return {"exit_code": process.returncode}
    _end(process)
    why = "was told to stop" if stopped else f"took longer than {told['seconds_max']:g} seconds and was stopped"
    return {"exit_code": None, "error": f"it {why}"}


def bound(output: Path) -> None:
    """Begin a file anew that has grown too large, and say so in it."""
    size = output.stat().st_size
    if size > OUTPUT_BYTES_MAX:
        os.truncate(output, 0)
        with output.open("ab") as file:
            file.write(f"[{size} bytes before this were dropped]\n".encode())


def hide_all(folder: Path, hidden: dict[str, str]) -> None:
    """Take the values that are to stand on no disk out of what a command wrote, also as they look inside JSON."""
    looks = {look: name for name, value in hidden.items() if value for look in (value, json.dumps(value)[1:-1])}
    for output in (folder / "stdout", folder / "stderr"):
        _hide(output, sorted(looks.items(), key=lambda one: -len(one[0])))


def _hide(output: Path, looks: list[tuple[str, str]]) -> None:
    if not output.exists():
        return
    written = output.read_bytes()
    clean = written
    for look, name in looks:
        clean = clean.replace(look.encode(), f"[{name}]".encode())
    if clean != written:
        output.write_bytes(clean)


def _end(process: "subprocess.Popen[bytes]") -> None:
    for number, patience in ((signal.SIGTERM, PATIENCE_SECONDS), (signal.SIGKILL, PATIENCE_SECONDS)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        deadline = time.monotonic() + patience
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
