"""The texts that the page's sample browser shows: of each run, before training, at its best and last evaluation."""

from typing import Any

from qtrain.report.names import estimator_name
from qtrain.report.records import Run, Sample, Section
from qtrain.report.text import shortened, visible


def sample_data(section: Section) -> dict[str, Any] | None:
    """What the page's script lists.

    Args:
        section: Its runs.

    Returns:
        runs: Their names. samples: One object each, `run` an index, `when` "before", "best", "last". all: Whether these
        are all evaluations that the runs hold. None where no run has texts.
    """
    runs, samples, complete = [], [], True
    for run in section.runs:
        chosen = _evaluations(run)
        complete &= len(chosen) == len({sample.step for sample in run.samples})
        runs.append(f"{visible(estimator_name(run.result.estimator))}, seed {run.result.seed}")
        samples += [
            _entry(sample, len(runs) - 1, chosen[sample.step]) for sample in run.samples if sample.step in chosen
        ]
    return {"runs": runs, "samples": samples, "all": complete} if samples else None


def _evaluations(run: Run) -> dict[int, str]:
    """The steps whose texts are shown, with their names; the last wins where two fall together."""
    steps = sorted({sample.step for sample in run.samples})
    if not steps:
        return {}
    names = {steps[0]: "before"}
    if run.result.best_step in steps[1:]:
        names[run.result.best_step] = "best"
    if steps[1:]:
        names[steps[-1]] = "last"
    return names


def _entry(sample: Sample, run: int, when: str) -> dict[str, Any]:
    texts = {key: visible(shortened(getattr(sample, key))) for key in ("prompt", "gold", "rationale", "answer")}
    # JSON has no word for what is not finite, and the page none for None.
    numbers = {
        key: f"{value:#.4g}".removesuffix(".").replace("-", "−")
        for key in ("log_w", "rationale_coefficient", "answer_coefficient")
        if (value := getattr(sample, key)) is not None
    }
    flags = {key: True for key in ("forced", "success") if getattr(sample, key)}
    group = {"group": visible(sample.group)} if sample.group else {}
    return {"run": run, "step": sample.step, "when": when, **texts, **numbers, **flags, **group}
