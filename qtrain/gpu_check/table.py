"""Results as Markdown tables."""

from collections.abc import Iterable, Sequence
from typing import Any


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """A table's lines; numbers have three digits, and what is not known is a dash."""
    lines = [list(headings), ["---"] * len(headings), *([cell(value) for value in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def cell(value: Any) -> str:
    """One value as text."""
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def curves(runs: Sequence[dict[str, Any]], name: str) -> list[str]:
    """One score of several runs against the step, a row an evaluation that they share."""
    series = [dict(zip(run["curve"]["step"], run["curve"][name], strict=True)) for run in runs]
    steps = sorted(set().union(*series))
    return table(
        ["step", *(run["estimator"] for run in runs)], [[step, *(s.get(step) for s in series)] for step in steps]
    )
