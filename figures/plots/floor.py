"""Figure `floor`: the noise of every estimator relative to the least possible with M draws of 0/1 weights."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from figures.names import listed, power
from figures.plots.curves import REFERENCE, Q, curve
from figures.plots.palette import line_style
from figures.study_data import DATA
from qtheory.claims.own.qc_7 import floor
from qtheory.exact import moments
from qtheory.models import FiniteTask, FixedAnswers

SAMPLES = 32
REWARDS = {"grpo": "GRPO", "dr_grpo": "Dr. GRPO", "reward_rloo": "RLOO", "maxrl": "MaxRL", "star": "STaR"}


@dataclass(frozen=True)
class Floor:
    """Standard deviations relative to the norms of the means.

    Attributes:
        p: (n,) success probabilities.
        least: (n,) sqrt((1 - p_M)/p_M).
        plug_in: (Q, n) the plug-in.
        baseline: (Q, n) with the leave-one-out baseline.
        rewards: By form, (n,) on 0/1 rewards of sampled answers.
    """

    p: np.ndarray
    least: np.ndarray
    plug_in: np.ndarray
    baseline: np.ndarray
    rewards: dict[str, np.ndarray]


def compute(folder: Path = DATA) -> Floor:
    """Exact moments over a grid of P; no data are read."""
    del folder
    p = np.geomspace(1e-4, 0.3, 60)
    tasks = [_task(at) for at in p]
    return Floor(
        p,
        floor(p, np.array(SAMPLES)),
        _noise(tasks, np.array(Q), "plugin"),
        _noise(tasks, np.array(Q), "rloo"),
        {form: _noise(tasks, np.array([0.0]), form)[0] for form in REWARDS},
    )


def _task(p: float) -> FiniteTask:
    """One right and one wrong rationale."""
    return FixedAnswers(np.array([0.0, -np.inf])).task(np.log([p, 1 - p]))


def _noise(tasks: list[FiniteTask], q: np.ndarray, form: str) -> np.ndarray:
    results = [moments(task, q, SAMPLES, form) for task in tasks]
    return np.stack([np.sqrt(result.variance) / np.linalg.norm(result.mean, axis=-1) for result in results], axis=-1)


def plot(data: Floor) -> Figure:
    """Two panels, 7 in wide."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.9), sharey=True)
    pools = data.p * SAMPLES
    for axes in (left, right):
        axes.axhspan(0.6, 1, color="#eeeeee", linewidth=0)
        axes.text(pools[2], 0.72, "below the floor", color="#555555")
        axes.axhline(1, **REFERENCE)
        axes.set(xscale="log", yscale="log", xlabel="M P", ylim=(0.6, 30))
        axes.set_yticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
        axes.minorticks_off()
    for row, q in enumerate(Q):
        curve(left, pools, data.plug_in[row] / data.least, q)
        curve(left, pools, data.baseline[row] / data.least, q, linestyle=(0, (5, 2)), marker="", label=None)
    left.set_ylabel("relative std over the floor")
    left.set_title("a  on likelihood weights")
    left.plot([], [], color="#555555", linestyle=(0, (5, 2)), label="with baseline")
    left.legend(loc="upper left")
    for place, (form, name) in enumerate(REWARDS.items()):
        style = line_style("rloo" if form == "reward_rloo" else form, None)
        right.plot(
            pools,
            data.rewards[form] / data.least,
            **{**style, "marker": "os^Dv"[place]},
            label=name,
            markevery=(2 * place, 12),
        )
    right.set_title("b  on 0/1 rewards of sampled answers")
    right.legend(loc="upper left")
    return figure


def caption(data: Floor) -> str:
    """Describe the panels and state the results."""
    cold, warm = (power(SAMPLES * float(data.p[at])) for at in (0, -1))
    ratios = listed([f"{REWARDS[form]} {float((noise / data.least)[-1]):.1f}" for form, noise in data.rewards.items()])
    plug_in = data.plug_in / data.least
    below = float((data.baseline[-1] / data.least).min())
    return (
        f"Standard deviation over the length of the mean, from exact moments at M = {SAMPLES}, one right and one wrong "
        "rationale, divided by the floor sqrt((1 - p_M)/p_M), p_M = 1 - (1-P)^M, under which no estimator gets that is "
        "0 on pools without a success. "
        f"a: plug-in forms; at q = 1 the plug-in is on the floor (largest ratio {float(plug_in[-1].max()):.6f}), at "
        f"q = 0 it is {float(plug_in[0, 0]):.3f} times the floor at M P = {cold} and {power(float(plug_in[0, -1]))} "
        f"times at M P = {warm}. With the baseline (dashed) q = 1 is not 0 on such pools and gets below it "
        f"({below:.3f}). "
        f"b: estimators on rewards; with rare successes all are on the floor, at M P = {warm}: {ratios}."
    )
