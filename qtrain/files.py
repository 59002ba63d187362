"""Writing that a kill or a full disk cannot leave half done, and one line for whatever the disk refuses."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from qtrain.errors import UserError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the disk refuses into one line about `path`.

    Raises:
        UserError: An OSError, or safetensors' own error, was raised inside.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UserError(f"{path}: cannot be written: {reason}; the last checkpoint, if any, is whole") from None


def sync(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def give_usual_mode(path: Path) -> None:
    """Give a file the mode that the umask gives new ones: safetensors makes its own 0600.

    Raises:
        OSError: The disk refuses it.
    """
    probe = path.with_name(f".{path.name}.mode")
    # The umask itself cannot be read without changing it, for other threads too.
    probe.touch()
    try:
        path.chmod(probe.stat().st_mode)
    finally:
        probe.unlink()


def append(log: BinaryIO, line: str) -> None:
    """Append a line to an unbuffered log: nothing waits in memory that a kill would lose.

    Raises:
        OSError: The disk is full, or the file was deleted meanwhile and the line would be lost.
    """
    data = line.encode() + b"\n"
    while data:
        # A nearly full disk takes a part, and refuses the rest in the next round.
        data = data[log.write(data) :]
    if os.fstat(log.fileno()).st_nlink == 0:
        raise FileNotFoundError(0, "it was deleted while the run went on")


class Lock:
    """Keeps a second process from writing the same folder; the system releases it however the first one ends.

    Args:
        path: The lock's file, made if it is missing. It stays, and holds the id of the last process.

    Raises:
        UserError: Another process holds it.
        OSError: The file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path, blocking=False)
        try:
            self._lock.acquire()
        except Timeout:
            holder = path.read_text(encoding="utf-8").strip() or "unknown"
            raise UserError(
                f"{path.parent}: another process (id {holder}) writes this run; wait for it, or choose another --out"
            ) from None
        path.write_text(f"{os.getpid()}\n", encoding="utf-8")

    def release(self) -> None:
        """Let others in."""
        self._lock.release()
