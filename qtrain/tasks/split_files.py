"""Read records from files by the files' endings, and find the files of a split in a folder.

.csv and .tsv have a first line with the names of the columns, .parquet is Parquet, and every other file is a JSON array
or JSON lines. A split of a folder is one file (`train.csv`), its parts (`train-00000-of-00002.parquet`), or a folder of
files (`train/algebra/1.json`), in which a .json file may be a single object.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from qtrain.errors import UserError, nearest_path
from qtrain.tasks.records import Split
from qtrain.tasks.rows import BadRecord, JsonRow, read_rows
from qtrain.tasks.tabular import read_csv, read_parquet

ENDINGS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
"""Endings of the files that are looked for in a folder."""

NAMES: dict[Split, tuple[str, ...]] = {
    "train": ("train",),
    "dev": ("dev", "validation", "valid", "val"),
    "test": ("test",),
}
"""Names of each split's files or folder; the first that exists is read."""


def read_file(path: Path) -> Iterator[JsonRow | BadRecord]:
    """Read a file row by row, in the format that its ending names.

    Raises:
        UserError: The file is missing or unreadable, or cannot be read past some row.
    """
    ending = path.suffix.lower()
    if ending in (".csv", ".tsv"):
        return read_csv(path)
    return read_parquet(path) if ending == ".parquet" else read_rows(path)


def read_files(paths: list[Path], folder: Path) -> Iterator[JsonRow | BadRecord]:
    """Read several files one after the other; positions begin with the file's path inside `folder`."""
    for path in paths:
        name = path.relative_to(folder).as_posix()
        value = _single_object(path)
        if value is not None:
            yield JsonRow(name, value)
            continue
        for row in read_file(path):
            yield row._replace(where=f"{name}, {row.where}")


def _single_object(path: Path) -> dict[str, object] | None:
    """The object that a whole .json file consists of, None if the file is anything else."""
    if path.suffix.lower() != ".json":
        return None
    try:
        with path.open(encoding="utf-8-sig") as file:
            if file.read(1) == "[":
                return None
            file.seek(0)
            value = json.load(file)
    except (OSError, ValueError, RecursionError):
        return None  # the reader of JSON lines reports the reason
    return value if isinstance(value, dict) else None


def split_paths(folder: Path, split: Split) -> list[Path]:
    """Find the files of a split in a folder: [] if there are none.

    Raises:
        UserError: Several files claim to be the split.
    """
    entries = sorted(folder.iterdir())
    for name in NAMES[split]:
        files = [path for path in entries if path.suffix.lower() in ENDINGS and not path.is_dir()]
        whole = [path for path in files if path.stem == name]
        parts = [path for path in files if re.fullmatch(rf"{name}-\d+-of-\d+", path.stem)]
        inside = files_below(folder / name) if (folder / name).is_dir() else []
        choices = [paths for paths in (*([path] for path in whole), parts, inside) if paths]
        if len(choices) > 1:
            raise UserError(
                f"{folder}: both {choices[0][0].name} and {choices[1][0].name} are files of {name}; keep one of them"
            )
        if choices:
            return choices[0]
    return []


def require_split(folder: Path, split: Split) -> list[Path]:
    """Find the files of a split; if there are no dev files, those of test.

    Raises:
        UserError: There are none, or several files claim to be the split.
    """
    paths = split_paths(folder, split) or (split_paths(folder, "test") if split == "dev" else [])
    if paths:
        return paths
    near = nearest_path(folder / f"{split}.jsonl")
    hint = f"; did you mean {near.name!r}?" if near is not None else ""
    raise UserError(f"{folder}: no {split}.jsonl, nor .json, .csv, .tsv, .parquet, nor a folder {split}{hint}")


def files_below(folder: Path) -> list[Path]:
    """Files with one of the endings in a folder and its folders, numbered names in the order of their numbers."""
    paths = [path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file()]
    return sorted(paths, key=lambda path: [path.parent.as_posix(), len(path.name), path.name])
