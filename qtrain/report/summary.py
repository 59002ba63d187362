"""The rows of a section's table: one per estimator, over its seeds."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from qtrain.report.intervals import Interval, log_mean_interval, mean_interval
from qtrain.report.measures import PERCENT
from qtrain.report.names import estimator_name
from qtrain.report.records import Result, Section
from qtrain.report.text import number, scientific


@dataclass(frozen=True)
class Cell:
    """A number of the table, and what is known of its spread over several seeds."""

    value: str
    spread: str = ""


@dataclass(frozen=True)
class TableRow:
    """One estimator: its name, what is to be said of it, and its cells in the order of the columns."""

    name: str
    note: str
    cells: list[Cell]


@dataclass(frozen=True)
class ResultTable:
    """Column headings and rows."""

    columns: list[str]
    rows: list[TableRow]


def result_table(section: Section) -> ResultTable:
    """The table of a section.

    Args:
        section: Its runs give one row per estimator. Scores are means over the seeds that did not diverge.
    """
    scores = _scores(section.runs[0].result)
    columns = ["seeds", "P before", "steps", "escape step", *(heading for _, heading in scores), "seconds"]
    return ResultTable(
        columns,
        [_row(name, [run.result for run in runs], scores) for name, runs in section.by_estimator.items()],
    )


def _scores(result: Result) -> list[tuple[str, str]]:
    """(key, heading) of the scores that are shown, those of the prompts without a group first."""
    scores = [(key, match) for key in result.model_dump() if (match := PERCENT.fullmatch(key))]
    without = [(key, f"{match[1]}@{match[2]}") for key, match in scores if not match[3]]
    of_groups = [(key, f"p@1 {match[3]}") for key, match in scores if match[3] and key.startswith("p_at_1_")]
    return [*without, ("mean_log_p", "mean log P"), *of_groups]


def _row(estimator: str, results: list[Result], scores: list[tuple[str, str]]) -> TableRow:
    diverged = [result.diverged_step for result in results if result.diverged_step is not None]
    note = ""
    if diverged:
        at = ", ".join(map(str, diverged))
        count = "" if len(results) == 1 else f"{len(diverged)} of {len(results)} "
        note = f"{count}diverged at step {at}"
    return TableRow(
        estimator_name(estimator),
        note,
        [
            Cell(str(len(results))),
            _before([result.p0 for result in results]),
            _ranged([result.steps for result in results]),
            _escape_cell([result.escape_step for result in results]),
            *(_score(key, [result.score(key) for result in results]) for key, _ in scores),
            _ranged([result.seconds for result in results]),
        ],
    )


def _before(values: list[float]) -> Cell:
    """The geometric mean: P spans orders of magnitude. Where it is 0, the arithmetic one, without an interval."""
    if min(values) <= 0:
        return Cell(scientific(statistics.fmean(values)))
    return Cell(scientific(statistics.geometric_mean(values)), _interval(log_mean_interval(values), scientific))


def _score(key: str, values: Sequence[float | None]) -> Cell:
    known = [value for value in values if value is not None]
    if not known:
        return Cell(number(None, ""))
    if key == "mean_log_p":
        form = partial(number, form=".2f")
        return Cell(form(statistics.fmean(known)), _interval(mean_interval(known, most=0.0), form))
    form, percents = partial(number, form=".1f"), [100 * value for value in known]
    return Cell(f"{form(statistics.fmean(percents))}%", _interval(mean_interval(percents, least=0.0, most=100.0), form))


def _interval(found: Interval | None, form: Callable[[float], str]) -> str:
    """Breaks, where a column is narrow, behind the comma. None where it is shorter than what the form shows."""
    if found is None or form(found.low) == form(found.high):
        return ""
    return f"[{form(found.low)}, {form(found.high)}]"


def _ranged(values: Sequence[float]) -> Cell:
    """The mean, and the range where there is one."""
    form = partial(number, form=".0f")
    return Cell(form(statistics.fmean(values)), _range(form(min(values)), form(max(values))))


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
