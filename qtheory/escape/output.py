"""Format the rows of `qtheory escape` as a table for the terminal, as JSON and as CSV."""

import csv
import dataclasses
import io
import json
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from qtheory.escape.table import EscapeRow, ExponentRow

Rows = Sequence[EscapeRow] | Sequence[ExponentRow]

_HEADS = {
    "p0_end": "to p0",
    "time": "T_q",
    "closed": "closed form",
    "error": "error",
    "over_q1": "T_q/T_1",
    "increments": "of increments",
    "times": "of T_q",
    "limit": "-(1-q)",
}
_TITLE_FIELDS = ("task", "delta")  # equal in all rows


def escape_table(rows: Rows) -> Table:
    """Rows of one kind as a table, readable at 80 columns.

    Args:
        rows: From `escape_rows` or `exponent_rows`, at least one.

    Returns:
        The table, with task and delta in its title and without empty columns.

    Raises:
        ValueError: There are no rows.
    """
    if not rows:
        raise ValueError("there are no rows: pass at least one p0 and one q")
    first = dataclasses.asdict(rows[0])
    what = "escape exponents" if isinstance(rows[0], ExponentRow) else "escape times"
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title=f"{first['task']}: {what} to delta = {first['delta']:g}")
    shown = [name for name, value in first.items() if name not in _TITLE_FIELDS and value is not None]
    for name in shown:
        table.add_column(_HEADS.get(name, name), justify="right", no_wrap=True)
    for row in rows:
        values = dataclasses.asdict(row)
        table.add_row(*(_number(name, values[name]) for name in shown))
    return table


def escape_json(rows: Rows) -> str:
    """Rows as a JSON list of objects, null if a value is missing or infinite, with a final newline."""
    finite = [{name: _finite(value) for name, value in dataclasses.asdict(row).items()} for row in rows]
    return json.dumps(finite, indent=1, allow_nan=False) + "\n"


def escape_csv(rows: Rows) -> str:
    """Rows as CSV with a header; numbers in full precision, empty if a value is missing.

    Raises:
        ValueError: There are no rows.
    """
    if not rows:
        raise ValueError("there are no rows: pass at least one p0 and one q")
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dataclasses.asdict(rows[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(dataclasses.asdict(row) for row in rows)
    return text.getvalue()


def _number(name: str, value: float) -> str:
    if name == "error":
        return f"{value:.1e}"
    if name in ("p0", "p0_end", "q", "limit"):
        return f"{value:g}"
    return f"{value:.5f}" if name in ("increments", "times") else f"{value:.6g}"


def _finite(value: str | float | None) -> str | float | None:
    return None if isinstance(value, float) and not abs(value) < float("inf") else value
