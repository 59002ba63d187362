"""Ways to break a file of any format, each malformed by construction or drawn until an independent check says so."""

import gzip
import io
import json
import os
import pickle
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

Rng = np.random.Generator
Valid = Callable[[bytes], bool]
"""Whether bytes may still be what a command reads; must not use the code under test."""

CANARY = "canary"
"""BuildResult in the working folder by every piece of code that a file holds, should anybody run it."""


class Hostile:
    """An object whose unpickling makes the canary."""

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return os.mkdir, (CANARY,)


def hostile_pickle() -> bytes:
    """A plain pickle."""
    return pickle.dumps({"model": Hostile()})


def hostile_torch_file() -> bytes:
    """A pickle in the container that torch.save writes."""
    file = io.BytesIO()
    torch.save({"weight": Hostile()}, file)
    return file.getvalue()


def pick(rng: Rng, choices: Any) -> Any:
    """One of them, as it is (numpy's own choice makes arrays)."""
    choices = list(choices)
    return choices[int(rng.integers(len(choices)))]


def cut(rng: Rng, data: bytes) -> bytes:
    """The beginning."""
    return data[: int(rng.integers(len(data)))]


def flip(rng: Rng, data: bytes) -> bytes:
    """One bit other."""
    at = int(rng.integers(len(data)))
    return data[:at] + bytes([data[at] ^ 1 << int(rng.integers(8))]) + data[at + 1 :]


def null_bytes(rng: Rng, data: bytes) -> bytes:
    """A stretch of zeros, as a crash of the machine leaves it."""
    at = int(rng.integers(len(data)))
    return data[:at] + bytes(len(data[at : at + 16])) + data[at + 16 :]


def doubled(rng: Rng, data: bytes) -> bytes:
    """A stretch twice."""
    at = int(rng.integers(len(data)))
    return data[: at + 20] + data[at:]


CHANGES = (cut, flip, null_bytes, doubled)
REPLACEMENTS: dict[str, Callable[[Rng, bytes], bytes]] = {
    "empty": lambda _rng, _data: b"",
    "noise": lambda rng, _data: rng.bytes(int(rng.integers(1, 300))),
    "gzip": lambda _rng, data: gzip.compress(data, mtime=0),
    "utf-16": lambda _rng, data: data.decode("latin-1").encode("utf-16"),
    "pickle": lambda _rng, _data: hostile_pickle(),
    "torch file": lambda _rng, _data: hostile_torch_file(),
    "deep": lambda rng, _data: b"[" * int(rng.integers(2_000, 200_000)),
    "deep objects": lambda rng, _data: b'{"a":' * int(rng.integers(2_000, 100_000)),
    "digits": lambda rng, _data: b"9" * int(rng.integers(4_500, 20_000)),
}


def spoil(rng: Rng, path: Path, valid: Valid, *, missing: bool = True) -> None:
    """Break a file in a random way.

    Args:
        rng: Draws the way.
        path: The file.
        valid: Changed bytes are drawn again for as long as it says that they are no damage.
        missing: Whether its absence is an error too.
    """
    whole = path.read_bytes()
    ways = ["change"] * 6 + ["replace"] * 3 + ["folder", "loop", "unreadable"] + ["missing"] * missing
    match pick(rng, ways):
        case "change":
            data = whole
            while valid(data):
                data = pick(rng, CHANGES)(rng, whole)
            path.write_bytes(data)
        case "replace":
            data = whole
            while valid(data):
                data = pick(rng, REPLACEMENTS.values())(rng, whole)
            path.write_bytes(data)
        case "folder":
            path.unlink()
            path.mkdir()
        case "loop":
            path.unlink()
            path.symlink_to(path.name)
        case "unreadable":
            unreadable(path)
        case "missing":
            path.unlink()
            if rng.random() < 0.5:
                path.symlink_to(pick(rng, ("../../nowhere", "/nonexistent/file")))


def unreadable(path: Path) -> None:
    """A file that can be opened at most. The superuser reads what nobody else may, but not a process's page zero."""
    path.chmod(0)
    if os.access(path, os.R_OK):
        path.unlink()
        path.symlink_to("/proc/self/mem")


def replace(path: Path, data: bytes | str) -> None:
    """Put something else in a file's place."""
    if path.is_dir():
        shutil.rmtree(path)
    path.write_bytes(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data)


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    """Change a JSON file's value; a returned value replaces it."""
    value = json.loads(path.read_text(encoding="utf-8"))
    found = change(value)
    path.write_text(json.dumps(value if found is None else found), encoding="utf-8")


def valid_json(data: bytes) -> bool:
    """By the standard library: UTF-8, and an object or array."""
    try:
        return isinstance(json.loads(data.decode("utf-8")), dict | list)
    except (ValueError, RecursionError):
        return False


def valid_toml(data: bytes) -> bool:
    """By the standard library."""
    try:
        tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    return True


def valid_lines(data: bytes) -> bool:
    """JSON lines, whose last may be cut: so ends the log of a run that was killed."""
    lines = data.split(b"\n")
    return all(map(valid_json, filter(None, lines[:-1])))


def tensor_header(data: bytes) -> Any:
    """What a safetensors file says it holds, None where the file is not whole. By the format's own text."""
    size = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + size].decode("utf-8"))
        ends = [one["data_offsets"][1] for name, one in header.items() if name != "__metadata__"]
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return None
    return header if len(data) == 8 + size + max(ends, default=0) else None


def same_tensors(whole: bytes) -> Valid:
    """Whether a safetensors file still has the names, types, shapes and places of `whole`, whatever its numbers."""
    wanted = tensor_header(whole)
    return lambda data: tensor_header(data) == wanted


def same_bytes(whole: bytes) -> Valid:
    """For files whose checksum is kept elsewhere."""
    return lambda data: data == whole


def same_json(whole: bytes) -> Valid:
    """Whether a JSON file still says the same."""
    wanted = json.loads(whole)
    return lambda data: valid_json(data) and json.loads(data.decode("utf-8")) == wanted
