"""Write the output files of commands: check paths before anything is computed, write atomically."""

import os
from pathlib import Path


def check_path(option: str, path: Path) -> None:
    """Refuse a path that cannot be written.

    Args:
        option: The command-line option that named it, for the message.
        path: The file.

    Raises:
        ValueError: The path is a folder, or its folder does not exist or is not writable.
    """
    if path.is_dir():
        raise ValueError(f"{option} {path}: is a folder; name a file in it")
    if not path.parent.is_dir():
        raise ValueError(f"{option} {path}: no folder {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"{option} {path}: {path.parent} may not be written to; choose another folder")


def replace_file(path: Path, content: bytes) -> None:
    """Write a file atomically: after a crash, and for any reader, it has the old content or the new.

    Raises:
        OSError: Writing failed; the file is unchanged.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def write_text(option: str, path: Path, text: str) -> None:
    """Write a text file atomically.

    Args:
        option: As for `check_path`.
        path: The file.
        text: Its content, written as UTF-8.

    Raises:
        ValueError: Writing failed; the file is unchanged.
    """
    try:
        replace_file(path, text.encode())
    except OSError as error:
        raise ValueError(f"{option} {path}: cannot be written: {error.strerror or error}") from None


Outputs = list[tuple[str, Path, str]]
"""Files to write: the option that named each, its path, its text."""


def write_outputs(files: Outputs) -> str | None:
    """Write files; return the error message of the first that could not be written, None if all were."""
    for option, path, text in files:
        try:
            write_text(option, path, text)
        except ValueError as error:
            return str(error)
    return None
