"""Figure `escape_spread`: steps to escape at finite M and finite step, their mean and their spread."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from figures.names import listed
from figures.plots.curves import REFERENCE
from figures.plots.palette import line_style
from figures.study_data import DATA
from qtheory.claims.support.cold_start import hard_steps
from qtheory.escape import EscapeLaw

Q = (0.0, 0.5, 1.0)
SAMPLES, P0, DELTA = 32, 1e-6, 0.2
SAMPLED = (0.05, 0.2, 0.6, 2.0, 6.0, 20.0)
"""kappa of the sampled runs."""
RUNS = 2000
LEVELS = (0.05, 0.95)
GREY = "#555555"


@dataclass(frozen=True)
class EscapeSpread:
    """The law and sampled runs, in units of 1/(M p0) steps.

    Attributes:
        kappa: (n,) what a success adds to log P.
        mean: (n,) of the law.
        band: (2, n) its quantiles at LEVELS.
        cv: (n,) its standard deviation over its mean.
        sampled: (Q, len(SAMPLED), 2) mean and CV of the runs.
    """

    kappa: np.ndarray
    mean: np.ndarray
    band: np.ndarray
    cv: np.ndarray
    sampled: np.ndarray


def compute(folder: Path = DATA) -> EscapeSpread:
    """The law of QC-8, and pools of the plug-in drawn step by step; no data are read."""
    del folder
    kappa = np.geomspace(0.02, 40, 81)
    law = EscapeLaw(1.0, kappa)
    rng, sampled = np.random.default_rng(8), np.zeros((len(Q), len(SAMPLED), 2))
    for row, q in enumerate(Q):
        for column, jump in enumerate(SAMPLED):
            steps = hard_steps(P0, DELTA, q, SAMPLES, jump * SAMPLES ** (1 - q), RUNS, rng)
            sampled[row, column] = steps.mean() * SAMPLES * P0, steps.std(ddof=1) / steps.mean()
    return EscapeSpread(kappa, law.mean(), law.quantile(np.array(LEVELS)[:, None]), law.cv(), sampled)


def plot(data: EscapeSpread) -> Figure:
    """Mean and quantiles on the left, CV on the right, 7 in wide."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.8))
    left.fill_between(data.kappa, *data.band, color="#d9d9d9", linewidth=0, label="5 to 95% of runs")
    left.plot(data.kappa, data.mean, color=GREY, label="mean, law")
    left.plot(data.kappa, 1 / data.kappa, **REFERENCE, label="mean field")
    left.axhline(1, color=GREY, linewidth=0.8, linestyle=":", label="first success")
    right.plot(data.kappa, data.cv, color=GREY)
    for row, q in enumerate(Q):
        style = line_style("garl", q) | {"linestyle": "none"}
        # Of one kappa, q are moved apart to be seen.
        at = np.array(SAMPLED) * 1.12 ** (row - 1)
        left.plot(at, data.sampled[row, :, 0], **style, label=f"runs, q = {q:g}")
        right.plot(at, data.sampled[row, :, 1], **style)
    left.set(xscale="log", yscale="log", ylim=(0.02, 80), ylabel="steps to escape, times M p0")
    left.set_title("a  mean and spread")
    right.set(xscale="log", yscale="log", ylabel="standard deviation over mean")
    right.set_title(r"b  CV, law $\sqrt{\tanh(\kappa/2)}$")
    for axes in (left, right):
        axes.set_xlabel(r"$\kappa$ = lr $M^{q-1}\,\|s\|^2$")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def caption(data: EscapeSpread) -> str:
    """What is shown and what came out."""
    means, cvs = data.sampled[..., 0].mean(0), data.sampled[..., 1].mean(0)
    over_field = listed([f"{kappa * mean:.3g}" for kappa, mean in zip(SAMPLED, means, strict=True)])
    return (
        f"Steps of the plug-in to leave p0 on 0/1 weights, in units of 1/(M p0); {RUNS} runs a mark, M = {SAMPLES}, "
        f"p0 = {P0:g}, marks of one kappa moved apart. a: the mean 1/(1 - e^-kappa) and the range of 90% of the runs "
        "(QC-8), the mean field's 1/kappa (dashed), and the wait for the first success (dotted), which no q and no "
        f"learning rate shortens. At kappa = {listed([f'{kappa:g}' for kappa in SAMPLED])} the runs' mean is "
        f"{over_field} times the mean field's. b: their standard deviation over their mean, "
        f"{listed([f'{cv:.2f}' for cv in cvs])}: from kappa = 2 on times spread as widely as a wait for one event."
    )
