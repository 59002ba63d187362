"""Prepare the sample browser's texts: for each run, before training and at its best and last evaluation."""

from typing import Any

from qtrain.report.labels import estimator_name, shortened, visible
from qtrain.report.records import Run, Sample, Section


def sample_data(section: Section) -> dict[str, Any] | None:
    """The JSON that samples.js lists.

    Args:
        section: A comparison or a single run.

    Returns:
        None if no run has samples, else an object with `runs`, their names; `samples`, one object each, with the run's
        index and `when` ("before", "best" or "last"); and `all`, whether these are all evaluations of the runs.
    """
    runs, samples, is_complete = [], [], True
    for run in section.runs:
        chosen = _evaluations(run)
        is_complete &= len(chosen) == len({sample.step for sample in run.samples})
        runs.append(f"{visible(estimator_name(run.result.estimator))}, seed {run.result.seed}")
        samples += [
            _entry(sample, len(runs) - 1, chosen[sample.step]) for sample in run.samples if sample.step in chosen
        ]
    return {"runs": runs, "samples": samples, "all": is_complete} if samples else None


def _evaluations(run: Run) -> dict[int, str]:
    """The steps whose texts are shown, with their names. A step with two names gets the later one."""
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
    # Numbers become text, because JSON has no infinities; None is left out.
    numbers = {
        key: f"{value:#.4g}".removesuffix(".").replace("-", "−")
        for key in ("log_w", "rationale_coefficient", "answer_coefficient")
        if (value := getattr(sample, key)) is not None
    }
    flags = {key: True for key in ("forced", "success") if getattr(sample, key)}
    group = {"group": visible(sample.group)} if sample.group else {}
    return {"run": run, "step": sample.step, "when": when, **texts, **numbers, **flags, **group}
