"""The rows of a section's table: one per estimator, over its seeds."""

import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from qtrain.report.collect import Result, Section
from qtrain.report.names import estimator_name
from qtrain.report.text import number, scientific

PERCENT = re.compile(r"(p|maj)_at_(\d+)(_easy)?")


@dataclass(frozen=True)
class Cell:
    """A number of the table, and the range over seeds where there are several."""

    value: str
    spread: str = ""


@dataclass(frozen=True)
class Row:
    """One estimator: its name, what is to be said of it, and its cells in the order of the columns."""

    name: str
    note: str
    cells: list[Cell]


@dataclass(frozen=True)
class ResultTable:
    """Column headings and rows."""

    columns: list[str]
    rows: list[Row]


def result_table(section: Section) -> ResultTable:
    """The table of a section.

    Args:
        section: Its runs give one row per estimator. Scores are means over the seeds that did not diverge.
    """
    scores = _scores(section.runs[0].result)
    columns = ["P before", "steps", "escape step", *(heading for _, heading in scores), "seconds"]
    return ResultTable(
        columns,
        [_row(name, [run.result for run in runs], scores) for name, runs in section.by_estimator.items()],
    )


def _scores(result: Result) -> list[tuple[str, str]]:
    """(key, heading) of the scores that are shown, of hard prompts first."""
    found = [(key, match) for key in result.model_dump() if (match := PERCENT.fullmatch(key))]
    hard = [(key, f"{match[1]}@{match[2]}") for key, match in found if not match[3]]
    easy = [(key, "p@1 easy") for key, _ in found if key == "p_at_1_easy"]
    return [*hard, ("mean_log_p", "mean log P"), *easy]


def _row(estimator: str, results: list[Result], scores: list[tuple[str, str]]) -> Row:
    diverged = [result.diverged_step for result in results if result.diverged_step is not None]
    note = ""
    if diverged:
        at = ", ".join(map(str, diverged))
        count = "" if len(results) == 1 else f"{len(diverged)} of {len(results)} "
        note = f"{count}diverged at step {at}"
    percent = partial(number, form=".1f")
    return Row(
        estimator_name(estimator),
        note,
        [
            _cell([result.p0 for result in results], scientific),
            _cell([result.steps for result in results], partial(number, form=".0f")),
            _escape_cell([result.escape_step for result in results]),
            *(
                _cell([result.score(key) for result in results], partial(number, form=".2f"))
                if key == "mean_log_p"
                else _cell([_percent(result.score(key)) for result in results], percent, unit="%")
                for key, _ in scores
            ),
            _cell([result.seconds for result in results], partial(number, form=".0f")),
        ],
    )


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _cell(values: Sequence[float | None], form: Callable[[float], str], *, unit: str = "") -> Cell:
    known = [value for value in values if value is not None]
    if not known:
        return Cell(number(None, ""))
    words = [form(statistics.fmean(known)), form(min(known)), form(max(known))]
    return Cell(words[0] + unit, _range(words[1], words[2]))


def _range(low: str, high: str) -> str:
    """Breaks, where a column is narrow, before the "to"."""
    return f"{low} to\N{NO-BREAK SPACE}{high}" if low != high else ""


def _escape_cell(steps: list[int | None]) -> Cell:
    """The median escape step of the seeds that escaped, and how many did where not all."""
    escaped = [step for step in steps if step is not None]
    if not escaped:
        return Cell("none" if len(steps) == 1 else f"none of {len(steps)}")
    spread = _range(str(min(escaped)), str(max(escaped)))
    if len(escaped) < len(steps):
        spread = "; ".join(filter(None, [f"{len(escaped)} of {len(steps)}", spread]))
    return Cell(f"{statistics.median(escaped):.10g}", spread)
