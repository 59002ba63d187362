"""Load records from a file or from a split on the hub, and count or refuse malformed ones."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from huggingface_hub import try_to_load_from_cache

from qtrain.errors import UserError
from qtrain.hub import DATA_SET, find_repository, tell_of_a_copy
from qtrain.tasks.data_sets import DATA_SETS
from qtrain.tasks.records import DataSet, LoadStats, Record, Split, parse, read_records
from qtrain.tasks.rows import BadRecord, JsonRow
from qtrain.tasks.split_files import ENDINGS, files_below, read_file, read_files, require_split

OnBadRecord = Literal["fail", "skip"]


SPLITS: dict[Split, str] = {"train": "train", "dev": "validation", "test": "test"}
"""The hub's name for each split."""


@dataclass(frozen=True)
class HubSource:
    """A data set on the hub.

    Attributes:
        id: Repository, OWNER/NAME, or a local folder that `datasets` can read.
        subset: Name of its configuration, such as "distractor", if it has several.
        revision: A branch, tag or commit.
    """

    id: str
    subset: str | None = None
    revision: str | None = None

    def rows(self, split: Split) -> Iterator[JsonRow]:
        """Download a split, or take it from the library's cache, and read it row by row.

        Raises:
            UserError: The data set cannot be reached, or has no such split, subset or revision.
        """
        where = f"task.hub={self.id!r}, split {SPLITS[split]!r}"
        place = find_repository("task.hub", self.id, self.revision, DATA_SET)
        # Imported late: it takes seconds, and reading files does not need it.
        from datasets import config as settings
        from datasets import load_dataset

        try:
            with _offline(settings, place.why is not None):
                rows = load_dataset(self.id, self.subset, split=SPLITS[split], revision=self.revision)
        except Exception as error:  # the library and its backends raise many classes
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            reason = f"cannot be loaded: {reason}"
            if place.why is not None:
                not_cached = isinstance(error, ConnectionError | FileNotFoundError)
                cache = "has no copy" if not_cached else reason
                reason = f"no such folder here, and {place.why}; its local cache {cache}"
            raise UserError(f"{where}: {reason}; give the official files by data=PATH instead") from None
        if place.why is not None:
            if not self._is_cached_as(rows):
                raise UserError(f"{where}: {place.why}, and its local cache has no copy of revision {self.revision!r}")
            tell_of_a_copy(where, place.why)
        for index, row in enumerate(rows):
            yield JsonRow(f"row {index} (counted from 0)", row)

    def _is_cached_as(self, rows: Any) -> bool:
        """True if rows from the library's cache, which ignores revisions, are of the wanted revision."""
        if self.revision is None:
            return True
        card = try_to_load_from_cache(self.id, DATA_SET.probe, repo_type=DATA_SET.type, revision=self.revision)
        commit = Path(card).parent.name if isinstance(card, str) else self.revision
        return all(Path(file["filename"]).parent.name == commit for file in rows.cache_files)


@contextmanager
def _offline(settings: Any, offline: bool) -> Iterator[None]:
    """Keep `datasets` from waiting for a hub that has just failed to answer."""
    before = settings.HF_HUB_OFFLINE
    settings.HF_HUB_OFFLINE = before or offline
    try:
        yield
    finally:
        settings.HF_HUB_OFFLINE = before


class Source(NamedTuple):
    """A source of rows.

    Attributes:
        name: Its name in messages.
        rows: Called without arguments, reads the rows from the beginning.
    """

    name: str
    rows: Callable[[], Iterator[JsonRow | BadRecord]]


def file_source(path: Path) -> Source:
    """The source for a file in the official or the hub's layout."""
    return Source(str(path), lambda: read_file(path))


def split_source(folder: Path, split: Split, data_set: DataSet) -> Source:
    """The source for a split in a folder.

    Raises:
        UserError: The data set may have files of any name, and there is none for the split.
    """
    official = folder / data_set.files[split]
    if not data_set.any_files or official.is_file():
        return file_source(official)
    paths = require_split(folder, split)
    if len(paths) == 1 and paths[0].parent == folder:
        return file_source(paths[0])
    in_parts = paths[0].parent == folder
    name = f"{paths[0]} and {len(paths) - 1} more" if in_parts else str(folder / paths[0].relative_to(folder).parts[0])
    return Source(name, lambda: read_files(paths, folder))


def path_source(path: Path, data_set: DataSet) -> Source:
    """The source for a file, or for all files below a folder if the data set may have files of any name.

    Raises:
        UserError: The folder has no file of a known format.
    """
    if not data_set.any_files or not is_folder(path):
        return file_source(path)
    paths = files_below(path)
    if not paths:
        raise UserError(f"{path}: no {', '.join(ENDINGS)} file in this folder")
    return Source(str(path), lambda: read_files(paths, path))


def hub_source(hub: HubSource, split: Split) -> Source:
    """The source for a split on the hub."""
    return Source(f"{hub.id} ({split})", lambda: hub.rows(split))


def is_folder(path: Path) -> bool:
    """True if a path is a folder.

    An inaccessible path counts as a file, since reading it then reports the reason in one line.
    """
    try:
        return path.is_dir()
    except OSError:
        return False


def load(source: Source, data_set: DataSet, stats: LoadStats, on_bad_record: OnBadRecord) -> Iterator[Record]:
    """Load the records of a source one by one.

    Args:
        source: The rows.
        data_set: The data set whose layout they must have.
        stats: Receives the counts of malformed records.
        on_bad_record: fail stops at the first malformed record; skip counts it and continues.

    Raises:
        UserError: The source cannot be read, holds no record of the data set, or holds a malformed record under `fail`.
    """
    any_valid = False
    for record in read_records(source.rows(), data_set):
        if isinstance(record, Record):
            any_valid = True
            yield record
            continue
        stats.note_malformed(record)
        if on_bad_record == "fail":
            fault = f"is not in the layout of {data_set.title}: {record.reason}{_hint(source, data_set)}"
            raise UserError(
                f"{source.name}: {record.where} {record.reason if record.repeated else fault}; mend it, or leave such "
                f"records out with on_bad_record=skip"
            )
    if any_valid:
        return
    if not stats.malformed_records:
        raise UserError(f"{source.name}: holds no records")
    first = stats.malformed_records[0]
    raise UserError(
        f"{source.name}: is not {data_set.title}: none of its {stats.malformed.total()} rows is a record of it; "
        f"{first.where}: {first.reason}{_hint(source, data_set)}"
    )


def _hint(source: Source, data_set: DataSet) -> str:
    """Name the other data set whose layout the source's first row has, if there is one."""
    row = next(source.rows(), None)
    names = [
        other.title
        for other in DATA_SETS.values()
        if row is not None and other.name != data_set.name and isinstance(parse(row, other), Record)
    ]
    return f" (it looks like {names[0]})" if names else ""
