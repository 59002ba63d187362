"""Figure `max_coefficient`: the paper's Fig 3 on the testbed, the largest c_m/M^q of each step, and P."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from figures.names import listed, power
from figures.plots.palette import line_style
from figures.study_data import DATA, read_study
from qtrain.errors import UserError
from qtrain.runs.folder import ESCAPED

FIRST = 10
"""Number of first steps whose median the caption gives."""


@dataclass(frozen=True)
class Series:
    """One run.

    Attributes:
        q: In [0, 1].
        step: (n,) training steps from 1.
        largest: (n,) max over the batch of c_m/M^q.
        p: (n,) mean w of the batch.
        escape: First step whose batch had a mean P above ESCAPED, None if there was none.
    """

    q: float
    step: np.ndarray
    largest: np.ndarray
    p: np.ndarray
    escape: int | None

    @property
    def peak(self) -> tuple[float, int]:
        """The maximum over steps of the largest coefficient, and its step."""
        at = int(np.argmax(self.largest))
        return float(self.largest[at]), int(self.step[at])


@dataclass(frozen=True)
class MaxCoefficient:
    """The runs by q, on one base, and their setting."""

    runs: tuple[Series, ...]
    p0: float
    lr: float
    prompts: int
    samples: int


def compute(folder: Path = DATA) -> MaxCoefficient:
    """The series of the study's first base.

    Args:
        folder: Folder of the data file.

    Raises:
        UserError: The data file is missing or malformed, or no series.
    """
    study = read_study("max_coefficient", folder)
    rows = sorted((row for row in study.rows if row.seed == study.seeds[0]), key=lambda row: row.q or 0.0)
    runs = []
    for row in rows:
        if row.series is None or row.q is None:
            raise UserError(f"max_coefficient: {row.estimator} has no series; `python -m figures run max_coefficient`")
        series = row.series
        runs.append(Series(row.q, np.array(series.step), np.array(series.max_c), np.exp(series.log_p), row.escape_step))
    first = rows[0]
    return MaxCoefficient(tuple(runs), first.p0, first.lr, first.prompts, first.samples)


def plot(data: MaxCoefficient) -> Figure:
    """The largest coefficient on the left, P on the right, 7 in wide."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.8))
    for index, run in enumerate(data.runs):
        style = line_style("garl", run.q)
        marks = (10 + 12 * index, 75)
        left.plot(run.step, run.largest, label=f"q = {run.q:g}", markevery=marks, linewidth=0.9, **style)
        right.plot(run.step, run.p, markevery=marks, linewidth=0.9, **style)
    left.axhline(1, color="#999999", linewidth=0.6, linestyle=":")
    right.axhline(ESCAPED, color="#999999", linewidth=0.6, linestyle=":")
    for axes in (left, right):
        axes.set_yscale("log")
        axes.set_xlabel("training step")
    left.set_ylim(top=2)
    left.set_ylabel("largest $c_m/M^q$ of the batch")
    right.set_ylabel("P, mean w of the batch")
    left.set_title("a  largest coefficient")
    right.set_title("b  success probability")
    figure.legend(loc="outside lower center", ncols=len(data.runs))
    return figure


def caption(data: MaxCoefficient) -> str:
    """Describe the panels and state the results."""
    course = listed(
        [
            f"q = {run.q:g} {power(float(np.median(run.largest[:FIRST])))}, {power(run.peak[0])} at step {run.peak[1]}"
            for run in data.runs
        ]
    )
    escapes = listed(
        [
            f"q = {run.q:g} {'not within the budget' if run.escape is None else f'at step {run.escape}'}"
            for run in data.runs
        ]
    )
    return (
        f"The paper's Fig 3 on the testbed: the cold start (p0 {power(data.p0)}, SGD, lr {power(data.lr)}, "
        f"{data.prompts} prompts x {data.samples} rationales a step), one run a q on one base, every step. "
        f"a: the largest c_m/M^q of the batch, c_m the coefficient of a rationale with its leave-one-out baseline; it "
        f"cannot exceed 1 (dotted; Sec 6.1.1). Median of the first {FIRST} steps and highest value: {course}. "
        f"b: the mean weight of the batch; above {ESCAPED:g} (dotted): {escapes}."
    )
