"""The records of a file or of a split on the hub, with the malformed ones counted or refused."""

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
from qtrain.tasks.rows import BadRecord, JsonRow, read_rows

OnBadRecord = Literal["fail", "skip"]


SPLITS: dict[Split, str] = {"train": "train", "dev": "validation", "test": "test"}
"""The hub's name of each split."""


@dataclass(frozen=True)
class HubSource:
    """Where on the hub.

    Attributes:
        id: Repository of the data set, OWNER/NAME, or a local folder that `datasets` can read.
        subset: Its configuration ("distractor"), where it has several.
        revision: A branch, tag or commit.
    """

    id: str
    subset: str | None = None
    revision: str | None = None

    def rows(self, split: Split) -> Iterator[JsonRow]:
        """Download a split, or find it in the library's cache, and read it row by row.

        Raises:
            UserError: One line: it cannot be reached, or is not what was asked for.
        """
        where = f"task.hub={self.id!r}, split {SPLITS[split]!r}"
        place = find_repository("task.hub", self.id, self.revision, DATA_SET)
        # The import takes seconds, and reading files does not need it.
        from datasets import config as settings
        from datasets import load_dataset

        try:
            with _offline(settings, place.why is not None):
                rows = load_dataset(self.id, self.subset, split=SPLITS[split], revision=self.revision)
        except Exception as error:  # the library and its backends raise classes of their own
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            reason = f"cannot be loaded: {reason}"
            if place.why is not None:
                nothing = isinstance(error, ConnectionError | FileNotFoundError)
                reason = f"no such folder here, and {place.why}; its local cache {'has no copy' if nothing else reason}"
            raise UserError(f"{where}: {reason}; give the official files by data=PATH instead") from None
        if place.why is not None:
            if not self._is_cached_as(rows):
                raise UserError(f"{where}: {place.why}, and its local cache has no copy of revision {self.revision!r}")
            tell_of_a_copy(where, place.why)
        for index, row in enumerate(rows):
            yield JsonRow(f"row {index} (counted from 0)", row)

    def _is_cached_as(self, rows: Any) -> bool:
        """Whether rows from the library's cache, which looks at no revision, are those of the one that is wanted."""
        if self.revision is None:
            return True
        card = try_to_load_from_cache(self.id, DATA_SET.probe, repo_type=DATA_SET.type, revision=self.revision)
        commit = Path(card).parent.name if isinstance(card, str) else self.revision
        return all(Path(file["filename"]).parent.name == commit for file in rows.cache_files)


@contextmanager
def _offline(settings: Any, offline: bool) -> Iterator[None]:
    """Keep `datasets` from waiting for a hub that has just not answered."""
    before = settings.HF_HUB_OFFLINE
    settings.HF_HUB_OFFLINE = before or offline
    try:
        yield
    finally:
        settings.HF_HUB_OFFLINE = before


class Source(NamedTuple):
    """Where rows come from: its name in messages, and what reads it from the start."""

    name: str
    rows: Callable[[], Iterator[JsonRow | BadRecord]]


def file_source(path: Path) -> Source:
    """A file in the official or the hub's layout."""
    return Source(str(path), lambda: read_rows(path))


def hub_source(hub: HubSource, split: Split) -> Source:
    """A split on the hub."""
    return Source(f"{hub.id} ({split})", lambda: hub.rows(split))


def is_folder(path: Path) -> bool:
    """Whether a path is a folder. One that cannot be looked at is none: reading it as a file says why in one line."""
    try:
        return path.is_dir()
    except OSError:
        return False


def load(source: Source, data_set: DataSet, stats: LoadStats, on_bad_record: OnBadRecord) -> Iterator[Record]:
    """The records in the data set's layout, one by one.

    Args:
        source: Where they come from.
        data_set: What they must be.
        stats: Malformed records are counted here.
        on_bad_record: fail refuses the first malformed record; skip goes on.

    Raises:
        UserError: One line: the source cannot be read, holds no record of the data set, or holds a malformed one.
    """
    good = False
    for record in read_records(source.rows(), data_set):
        if isinstance(record, Record):
            good = True
            yield record
            continue
        stats.note_malformed(record)
        if on_bad_record == "fail":
            raise UserError(
                f"{source.name}: {record.where} is not in {data_set.title}'s layout: {record.reason}"
                f"{_hint(source, data_set)}; mend it, or leave such records out with on_bad_record=skip"
            )
    if good:
        return
    if not stats.malformed_records:
        raise UserError(f"{source.name}: holds no records")
    first = stats.malformed_records[0]
    raise UserError(
        f"{source.name}: is not {data_set.title}: none of its {stats.malformed.total()} rows is a record of it; "
        f"{first.where}: {first.reason}{_hint(source, data_set)}"
    )


def _hint(source: Source, data_set: DataSet) -> str:
    """Which data set the source's first row is a record of, where it is another one."""
    row = next(source.rows(), None)
    names = [
        other.title
        for other in DATA_SETS.values()
        if row is not None and other is not data_set and isinstance(parse(row, other), Record)
    ]
    return f" (it looks like {names[0]})" if names else ""
