"""Write files that survive a kill or a full disk, lock run folders, and report disk errors in one line."""

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
    """Turn a disk error into one line about `path`.

    Raises:
        UserError: The block raised an OSError or a SafetensorError.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UserError(f"{path}: cannot be written: {reason}; the last checkpoint, if any, is whole") from None


def sync(path: Path) -> None:
    """Flush a file, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def give_usual_mode(path: Path) -> None:
    """Give a file the permissions of a new file under the umask: safetensors creates its files with mode 0600.

    Raises:
        OSError: The permissions cannot be changed.
    """
    probe = path.with_name(f".{path.name}.mode")
    # Reading the umask would mean changing it, for other threads too.
    probe.touch()
    try:
        path.chmod(probe.stat().st_mode)
    finally:
        probe.unlink()


def append(log: BinaryIO, line: str) -> None:
    """Append a line to an unbuffered log, so that a kill loses nothing that was logged.

    Raises:
        OSError: The disk is full, or the log was deleted, so that the line would be lost.
    """
    data = line.encode() + b"\n"
    while data:
        # A nearly full disk accepts a part of the line; the next write then fails.
        data = data[log.write(data) :]
    if os.fstat(log.fileno()).st_nlink == 0:
        raise FileNotFoundError(0, "it was deleted while the run went on")


class Lock:
    """Keep a second process from writing the same folder. The system releases the lock however the process ends.

    Args:
        path: The lock file, created if missing. It is never deleted, and holds the id of the last process.

    Raises:
        UserError: Another process holds the lock.
        OSError: The file cannot be created.
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
        """Release the lock."""
        self._lock.release()
