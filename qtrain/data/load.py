"""The records of a file or of a split on the hub, with the malformed ones counted or refused."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from qtrain.data import DATA_SETS
from qtrain.data.hub import HubSource
from qtrain.data.records import DataSet, Record, Split, parse, read_records
from qtrain.data.rows import BadRecord, Row, read_rows
from qtrain.data.tally import Tally
from qtrain.errors import UserError

OnBadRecord = Literal["fail", "skip"]


class Source(NamedTuple):
    """Where rows come from: its name in messages, and what reads it from the start."""

    name: str
    rows: Callable[[], Iterator[Row | BadRecord]]


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


def load(source: Source, data_set: DataSet, tally: Tally, on_bad_record: OnBadRecord) -> Iterator[Record]:
    """The records in the data set's layout, one by one.

    Args:
        source: Where they come from.
        data_set: What they must be.
        tally: Malformed records are counted here.
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
        tally.note_malformed(record)
        if on_bad_record == "fail":
            raise UserError(
                f"{source.name}: {record.where} is not in {data_set.title}'s layout: {record.reason}"
                f"{_hint(source, data_set)}; mend it, or leave such records out with on_bad_record=skip"
            )
    if good:
        return
    if not tally.malformed_records:
        raise UserError(f"{source.name}: holds no records")
    first = tally.malformed_records[0]
    raise UserError(
        f"{source.name}: is not {data_set.title}: none of its {tally.malformed.total()} rows is a record of it; "
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
