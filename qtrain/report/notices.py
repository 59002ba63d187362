"""What went wrong during the runs: divergence, steps that were skipped, warnings."""

from collections import defaultdict
from dataclasses import dataclass

from qtrain.report.names import estimator_name
from qtrain.report.records import Run, Section


@dataclass(frozen=True)
class Notice:
    """One kind of event of one run: how often, from which step to which, and what was said."""

    run: str
    kind: str
    count: int
    first: int
    last: int
    message: str


def notices(section: Section) -> list[Notice]:
    """All of a section, run by run: divergence first, then what was skipped, then warnings by kind and text."""
    return [notice for run in section.runs for notice in _of(run)]


def unlogged(section: Section) -> int:
    """Runs that were made before warnings were logged."""
    return sum(run.warned is None for run in section.runs)


def _of(run: Run) -> list[Notice]:
    name = f"{estimator_name(run.result.estimator)}, seed {run.result.seed}"
    found: list[Notice] = []
    if (step := run.result.diverged_step) is not None:
        found.append(Notice(name, "diverged", 1, step, step, run.result.diagnosis or ""))
    events: dict[tuple[str, str], list[int]] = defaultdict(list)
    for one in run.skipped or []:
        events["skipped step", one.reason].append(one.step)
    for one in run.warned or []:
        events[one.category, one.message].append(one.step)
    found += [Notice(name, kind, len(at), min(at), max(at), text) for (kind, text), at in events.items()]
    return found
