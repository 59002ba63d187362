"""Figure `variance`: the plug-in's variance, and its change by a baseline and by resampling."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from figures.names import power
from figures.plots.curves import REFERENCE, curve
from figures.study_data import DATA
from qtheory.exact import moments
from qtheory.models import FiniteTask, FixedAnswers

SHOWN = (0.0, 0.25, 0.5, 0.75)
"""Without q = 1: there, one right rationale leaves the plug-in only the noise of pools without a success."""
SAMPLES = 32
FORMS = ("plugin", "rloo", "paft")
SHARES = np.array([0.5, 0.3, 0.2])
"""Shares of the three good rationales in their prior mass."""
SIZES = np.array([1.0, 0.5, 0.1, 1e-3])
"""Weights of the three good rationales and of the bad one."""


@dataclass(frozen=True)
class Variance:
    """Variances relative to the squared true gradient.

    Attributes:
        p: (n,) prior mass of the good rationales.
        single: By form, (Q, n) with one right rationale of weight 1 and a wrong one of weight 0.
        several: By form, (Q, n) with three good rationales and a bad one, of weights SIZES.
    """

    p: np.ndarray
    single: dict[str, np.ndarray]
    several: dict[str, np.ndarray]


def compute(folder: Path = DATA) -> Variance:
    """Exact moments over a grid of the prior; no data are read."""
    del folder
    p = 1 / (1 + np.exp(-np.linspace(np.log(1e-4), np.log(1e4), 57)))
    single = _relative([_task(np.array([at, 1 - at]), np.array([1.0, 0.0])) for at in p])
    return Variance(p, single, _relative([_task(np.array([*(SHARES * at), 1 - at]), SIZES) for at in p]))


def _task(prior: np.ndarray, weights: np.ndarray) -> FiniteTask:
    log_w = np.log(weights, where=weights > 0, out=np.full_like(weights, -np.inf))
    return FixedAnswers(log_w).task(np.log(prior))


def _relative(tasks: Sequence[FiniteTask]) -> dict[str, np.ndarray]:
    squares = np.stack([[np.sum(task.gradient(q) ** 2) for task in tasks] for q in SHOWN])
    grid = np.array(SHOWN)
    return {
        form: np.stack([moments(task, grid, SAMPLES, form).variance for task in tasks], axis=-1) / squares
        for form in FORMS
    }


def crossing(data: Variance, q: float) -> float:
    """The P from which on the baseline raises the variance, with one right rationale."""
    row = SHOWN.index(q)
    gain = np.log(data.single["rloo"][row] / data.single["plugin"][row])
    place = int(np.argmax(gain > 0))
    logit = np.log(data.p / (1 - data.p))
    at = np.interp(0, gain[place - 1 : place + 1], logit[place - 1 : place + 1])
    return float(1 / (1 + np.exp(-at)))


def plot(data: Variance) -> Figure:
    """Three panels, 7 in wide."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(7, 2.7))
    for row, q in enumerate(SHOWN):
        curve(left, data.p, data.single["plugin"][row], q)
        for axes, values in ((middle, data.single), (right, data.several)):
            plug_in = values["plugin"][row]
            curve(axes, data.p, values["rloo"][row] / plug_in, q, linestyle=(0, (5, 2)))
            curve(axes, data.p, values["paft"][row] / plug_in, q, estimator="paft")
    left.set(yscale="log", ylabel="relative variance")
    left.set_title("a  plug-in, one right rationale")
    for axes, title in ((middle, "b  over plug-in, one right"), (right, "c  over plug-in, several good")):
        axes.axhline(1, **REFERENCE)
        axes.set(yscale="log")
        axes.set_title(title)
    right.set_yticks([0.2, 0.5, 1, 2], ["0.2", "0.5", "1", "2"])
    for axes in (left, middle, right):
        axes.set_xscale("logit")
        axes.set_xticks([1e-3, 0.5, 1 - 1e-3], ["0.001", "0.5", "0.999"])
        axes.minorticks_off()
        axes.set_xlabel("mass of good rationales")
    handles, labels = left.get_legend_handles_labels()
    for name, linestyle in (("with baseline (RLOO)", (0, (5, 2))), ("PAFT", (0, (1, 1.3)))):
        handles += left.plot([], [], color="#555555", linestyle=linestyle)
        labels.append(name)
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def caption(data: Variance) -> str:
    """Describe the panels and state the results."""
    top = float((data.single["rloo"][0] / data.single["plugin"][0]).max())
    warm, worst = (float((data.several[form] / data.several["plugin"]).max(axis=1)[0]) for form in ("rloo", "paft"))
    return (
        f"Exact variances of the gradient estimates at M = K = {SAMPLES} against the prior mass of good rationales. "
        "a: of the plug-in, relative to the squared true gradient, with a right and a wrong rationale, w in {0, 1}: "
        "that leaves PAFT nothing to resample. "
        "b: with the leave-one-out baseline (dashed) and of PAFT (dotted), over the plug-in's. The baseline lowers the "
        "variance in a cold start and raises it in a warm one, in which the right rationale's own score vanishes: at "
        f"q = 0 from P = {crossing(data, 0.0):.2f} on, {power(top)}-fold at P = {data.p[-1]:.4f}. "
        "c: three good rationales of weights 1, 0.5 and 0.1 with different scores, and a bad one of weight 0.001. "
        f"At q = 0 resampling adds up to {worst - 1:.0%}, and the baseline never raises the variance (ratio at most "
        f"{warm:.3f})."
    )
