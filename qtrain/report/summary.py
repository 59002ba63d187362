"""Summarise a section in words and tables: introduction, results, problems, and differences in configuration."""

import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from qtrain.report.aggregation import Interval, log_mean_interval, mean_interval
from qtrain.report.labels import estimator_name, number, scientific
from qtrain.report.measures import PERCENT
from qtrain.report.records import Result, Run, Section
from qtrain.runs.folder import flat

OPTIMIZERS = {"sgd": "SGD", "adamw": "AdamW"}


def conditions(section: Section) -> str:
    """The optimiser, the learning rate and the p0 that was asked for, in a few words."""
    p0 = section.config.get("pretrain", {}).get("p0")
    parts = [_optimizer(section), f"lr {section.config['optimizer']['lr']:g}"]
    return ", ".join([*parts, *([f"from P = {scientific(p0)}"] if p0 else [])])


def intro(section: Section) -> str:
    """The section's first paragraph: what ran, its budget, the base models, and how it was scored."""
    evaluation = section.config["eval"]
    if len(section.runs) == 1:
        subject, start = f"One run on task {_task(section)}, with this rollout budget and learning rate", "It starts"
    else:
        count = len(section.by_estimator)
        subject = (
            f"{_count(count, 'estimator')} on task {_task(section)}, all under one rollout budget and one learning rate"
        )
        start = "They start"
    return (
        f"{subject}: {_budget(section)}. {start} from {_bases(section)}. "
        f"Scores are of {evaluation['samples']} sampled answers to each of {evaluation['prompts']} held-out prompts."
    )


def _optimizer(section: Section) -> str:
    name = str(section.config["optimizer"]["name"])
    return OPTIMIZERS.get(name, name)


def _task(section: Section) -> str:
    task = section.config["task"]
    return f"{task['name']} ({task['variant']})" if "variant" in task else str(task["name"])


def _budget(section: Section) -> str:
    optimizer, rollout, train = (section.config[key] for key in ("optimizer", "rollout", "train"))
    clip = f" with the gradient's norm clipped at {optimizer['clip']:g}" if optimizer.get("clip") else ""
    return (
        f"{train['steps']} steps of {_optimizer(section)} at learning rate {optimizer['lr']:g}{clip}, "
        f"{rollout['prompts']} prompts with {rollout['samples']} rationales each in every step"
    )


def _bases(section: Section) -> str:
    seeds = sorted({run.result.seed for run in section.runs})
    p0 = sorted(run.result.p0 for run in section.runs)
    p0_range = " to ".join(dict.fromkeys([scientific(p0[0]), scientific(p0[-1])]))
    plural = "" if len(seeds) == 1 else "s"
    bases = f"{_count(len(seeds), 'base model')} (seed{plural} {', '.join(map(str, seeds))})"
    return f"{bases} whose success probability P before training is {p0_range}"


def _count(count: int, name: str) -> str:
    return f"{count} {name}{'' if count == 1 else 's'}"


@dataclass(frozen=True)
class Cell:
    """A number in the table, and its range or interval over several seeds."""

    value: str
    spread: str = ""


@dataclass(frozen=True)
class TableRow:
    """An estimator's row: its name, a note on divergence, and its cells in the order of the columns."""

    name: str
    note: str
    cells: list[Cell]


@dataclass(frozen=True)
class ResultTable:
    """The column headings and the rows of a section's table."""

    columns: list[str]
    rows: list[TableRow]


def result_table(section: Section) -> ResultTable:
    """The table of results, one row per estimator. Scores are means over the seeds that did not diverge."""
    scores = _scores(section.runs[0].result)
    columns = ["seeds", "P before", "steps", "escape step", *(heading for _, heading in scores), "seconds"]
    return ResultTable(
        columns,
        [_row(name, [run.result for run in runs], scores) for name, runs in section.by_estimator.items()],
    )


COLLAPSE = {
    "exact_match": "exact match",
    "p_at_1": "p@1",
    "constant_answer": "best constant answer",
    "distinct_answers": "distinct answers",
    "forced": "rationales cut",
    "rationale_tokens": "tokens a rationale",
}
"""Scores that show a collapsed policy, with their headings."""


def collapse_table(section: Section) -> ResultTable | None:
    """The scores that show a collapsed policy, before and after training; None if no run logs them.

    Scores are means over the seeds that did not diverge. A row has a note if p@1 is not above the best constant answer.
    """
    if not any("exact_match" in run.evals for run in section.runs):
        return None
    return ResultTable(
        list(COLLAPSE.values()), [_collapse_row(name, runs) for name, runs in section.by_estimator.items()]
    )


def _collapse_row(estimator: str, runs: list[Run]) -> TableRow:
    finished = [run.evals for run in runs if run.result.diverged_step is None]
    means = {
        key: (statistics.fmean(values[0] for values in series), statistics.fmean(values[-1] for values in series))
        for key in COLLAPSE
        if (series := [evals[key].values for evals in finished if key in evals and len(evals[key].values)])
    }
    is_constant = {"p_at_1", "constant_answer"} <= means.keys() and means["p_at_1"][1] <= means["constant_answer"][1]
    return TableRow(
        estimator_name(estimator),
        "not above a constant answer" if is_constant else "",
        [_collapse_cell(key, *means[key]) if key in means else Cell(number(None, "")) for key in COLLAPSE],
    )


def _collapse_cell(key: str, before: float, after: float) -> Cell:
    """The mean after training, and the one before it if it reads differently."""
    if key in ("distinct_answers", "rationale_tokens"):
        first, last = number(before, ".1f"), number(after, ".1f")
    else:
        first, last = f"{number(100 * before, '.1f')}%", f"{number(100 * after, '.1f')}%"
    return Cell(last, f"before\N{NO-BREAK SPACE}{first}" if first != last else "")


def _scores(result: Result) -> list[tuple[str, str]]:
    """(key, heading) of the scores in the table; those of prompts without a group come first."""
    scores = [(key, match) for key in result.model_dump() if (match := PERCENT.fullmatch(key))]
    ungrouped = [(key, f"{match[1]}@{match[2]}") for key, match in scores if not match[3]]
    grouped = [(key, f"p@1 {match[3]}") for key, match in scores if match[3] and key.startswith("p_at_1_")]
    return [*ungrouped, ("mean_log_p", "mean log P"), *grouped]


def _row(estimator: str, results: list[Result], scores: list[tuple[str, str]]) -> TableRow:
    diverged = [result.diverged_step for result in results if result.diverged_step is not None]
    note = ""
    if diverged:
        steps = ", ".join(map(str, diverged))
        count = "" if len(results) == 1 else f"{len(diverged)} of {len(results)} "
        note = f"{count}diverged at step {steps}"
    return TableRow(
        estimator_name(estimator),
        note,
        [
            Cell(str(len(results))),
            _p0_cell([result.p0 for result in results]),
            _mean_cell([result.steps for result in results]),
            _escape_cell([result.escape_step for result in results]),
            *(_score_cell(key, [result.score(key) for result in results]) for key, _ in scores),
            _mean_cell([result.seconds for result in results]),
        ],
    )


def _p0_cell(values: list[float]) -> Cell:
    """The geometric mean, as P spans orders of magnitude; if a P is 0, the arithmetic mean without an interval."""
    if min(values) <= 0:
        return Cell(scientific(statistics.fmean(values)))
    return Cell(scientific(statistics.geometric_mean(values)), _interval(log_mean_interval(values), scientific))


def _score_cell(key: str, values: Sequence[float | None]) -> Cell:
    known = [value for value in values if value is not None]
    if not known:
        return Cell(number(None, ""))
    if key == "mean_log_p":
        form = partial(number, form=".2f")
        return Cell(form(statistics.fmean(known)), _interval(mean_interval(known, most=0.0), form))
    form, percents = partial(number, form=".1f"), [100 * value for value in known]
    return Cell(f"{form(statistics.fmean(percents))}%", _interval(mean_interval(percents, least=0.0, most=100.0), form))


def _interval(interval: Interval | None, form: Callable[[float], str]) -> str:
    """Format an interval, with a line break allowed after the comma. Empty if both ends are the same when rounded."""
    if interval is None or form(interval.low) == form(interval.high):
        return ""
    return f"[{form(interval.low)}, {form(interval.high)}]"


def _mean_cell(values: Sequence[float]) -> Cell:
    """The mean, and the range if values differ."""
    form = partial(number, form=".0f")
    return Cell(form(statistics.fmean(values)), _range(form(min(values)), form(max(values))))


def _range(low: str, high: str) -> str:
    """Format a range, with a line break allowed before "to"."""
    return f"{low} to\N{NO-BREAK SPACE}{high}" if low != high else ""


def _escape_cell(steps: list[int | None]) -> Cell:
    """The median escape step of the seeds that escaped, their range, and their number if not all escaped."""
    escaped = [step for step in steps if step is not None]
    if not escaped:
        return Cell("none" if len(steps) == 1 else f"none of {len(steps)}")
    spread = _range(str(min(escaped)), str(max(escaped)))
    if len(escaped) < len(steps):
        spread = "; ".join(filter(None, [f"{len(escaped)} of {len(steps)}", spread]))
    return Cell(f"{statistics.median(escaped):.10g}", spread)


@dataclass(frozen=True)
class Notice:
    """A kind of event in one run: how often it occurred, its first and last step, and its message."""

    run: str
    kind: str
    count: int
    first: int
    last: int
    message: str


def notices(section: Section) -> list[Notice]:
    """The problems of a section, run by run: divergence, then skipped steps, then warnings by category and text."""
    return [notice for run in section.runs for notice in _notices_of_run(run)]


def unlogged(section: Section) -> int:
    """The number of runs whose version did not log warnings yet."""
    return sum(run.warned is None for run in section.runs)


def _notices_of_run(run: Run) -> list[Notice]:
    name = f"{estimator_name(run.result.estimator)}, seed {run.result.seed}"
    result: list[Notice] = []
    if (step := run.result.diverged_step) is not None:
        result.append(Notice(name, "diverged", 1, step, step, run.result.diagnosis or ""))
    events: dict[tuple[str, str], list[int]] = defaultdict(list)
    for skipped in run.skipped or []:
        events["skipped step", skipped.reason].append(skipped.step)
    for warning in run.warned or []:
        events[warning.category, warning.message].append(warning.step)
    result += [Notice(name, kind, len(steps), min(steps), max(steps), text) for (kind, text), steps in events.items()]
    return result


class Difference(NamedTuple):
    """A setting and its values in each section's runs; a section that lacks the setting has no value."""

    key: str
    values: list[list[str]]


def differences(sections: list[Section]) -> list[Difference]:
    """The settings with more than one value on the page, in alphabetical order; none for a single run."""
    if sum(len(section.runs) for section in sections) == 1:
        return []
    configs = [[flat(run.config) for run in section.runs] for section in sections]
    keys = sorted({key for of_section in configs for config in of_section for key in config})
    settings = [Difference(key, [_distinct_values(key, of_section) for of_section in configs]) for key in keys]
    return [setting for setting in settings if _is_different(setting)]


def _distinct_values(key: str, configs: list[dict[str, Any]]) -> list[str]:
    values = [config[key] for config in configs if key in config]
    return list(
        dict.fromkeys(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values)
    )


def _is_different(setting: Difference) -> bool:
    distinct = {value for values in setting.values for value in values}
    return len(distinct) > 1 or not all(setting.values)
