"""Read the rows of CSV and Parquet files one at a time, and report rows that cannot be read."""

import csv
from collections.abc import Iterator
from pathlib import Path

from qtrain.errors import UserError
from qtrain.tasks.rows import LONGEST, BadRecord, JsonRow, utf8_error

MAGIC = b"PAR1"
"""The first and the last bytes of a Parquet file."""


def read_csv(path: Path) -> Iterator[JsonRow | BadRecord]:
    """Read a CSV file (a TSV file by the ending .tsv) whose first line names the columns.

    Cells are texts as they are in the file, because a guessed type would change answers such as 007 or 1.50. An empty
    cell is null.

    Raises:
        UserError: The file is missing, unreadable or empty, its quotes do not match, or a column's name is repeated.
    """
    csv.field_size_limit(LONGEST)  # the library's own limit, 131,072 characters, is less than some contexts
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
            header = next(reader, None)
            if not header:
                raise UserError(f"{path}: is empty; a first line with the names of the columns is needed")
            if repeated := next((name for name in header if header.count(name) > 1), None):
                raise UserError(f"{path}: the first line names column {repeated!r} twice; rename one")
            line = reader.line_num + 1
            try:
                for cells in reader:
                    if cells:
                        yield _csv_row(f"line {line}", header, cells)
                    line = reader.line_num + 1
            except csv.Error as error:
                raise UserError(
                    f"{path}: line {line}: not CSV: {error}; what follows cannot be read: mend its quotes"
                ) from None
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except csv.Error as error:
        raise UserError(f"{path}: line 1: not CSV: {error}; mend the names of the columns") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None


def _csv_row(where: str, header: list[str], cells: list[str]) -> JsonRow | BadRecord:
    if reason := utf8_error("".join(cells)):
        return BadRecord(where, reason)
    if len(cells) != len(header):
        return BadRecord(where, f"{len(cells)} cells for {len(header)} columns; put quotes around cells with commas")
    return JsonRow(where, {name: cell or None for name, cell in zip(header, cells, strict=True)})


def read_parquet(path: Path) -> Iterator[JsonRow]:
    """Read a Parquet file row by row through the library `datasets`, without its cache.

    Raises:
        UserError: The file is missing, unreadable, or not Parquet.
    """
    try:
        with path.open("rb") as file:
            first = file.read(len(MAGIC))
            file.seek(-min(len(first), len(MAGIC)), 2)
            is_parquet = first == file.read() == MAGIC and path.stat().st_size > 2 * len(MAGIC)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not is_parquet:
        raise UserError(f"{path}: is not a whole Parquet file, which begins and ends with PAR1; fetch it again")
    # Imported late: it takes seconds, and reading other files does not need it.
    from datasets import load_dataset

    try:
        rows = load_dataset("parquet", data_files=str(path), split="train", streaming=True)
        for index, row in enumerate(rows):
            yield JsonRow(f"row {index} (counted from 0)", row)
    except Exception as error:  # the library and its backends raise many classes
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(f"{path}: cannot be read as Parquet: {reason}; fetch it again") from None
