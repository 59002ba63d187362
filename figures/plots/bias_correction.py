"""Figure `bias_correction`: bias and spread of GARL and of its corrections against M, for hard and soft weights."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.names import listed, power
from figures.plots.palette import line_style
from figures.study_data import DATA
from qtheory.claims.support.enumerated import enumerated
from qtheory.claims.support.slope import fitted_slope
from qtheory.estimators import delta, garl, jackknife, u_series
from qtheory.models import FixedAnswers, Likelihoods, bernoulli, two_level

Q = 0.75
SAMPLES = 2 ** np.arange(1, 10)
HARD_P, SOFT_P, LEVELS = 0.1, 0.01, (0.2, 4.0)
ESTIMATORS = {"GARL": garl, "jackknife": jackknife, "delta": delta, "U-series": u_series}
CORRECTIONS = ("jackknife", "delta")
STYLES = (
    {"color": line_style("garl", Q)["color"], "marker": "o", "linestyle": "-"},
    {"color": "#222222", "marker": "s", "linestyle": (0, (5, 2))},
    {"color": "#c2571a", "marker": "^", "linestyle": "-"},
    {"color": "#8d5aa8", "marker": "D", "linestyle": (0, (1, 1.3))},
)
"""All at one q, so that the colour, which elsewhere tells q, here tells the estimator; GARL keeps its own."""


@dataclass(frozen=True)
class Curves:
    """One task: norms over ||grad l_q|| by estimator, (M,) each.

    Attributes:
        bias: ||E[estimate] - grad l_q||.
        std: Root of the covariance's trace.
        draws: (M,) M P/E_post[w].
    """

    bias: dict[str, np.ndarray]
    std: dict[str, np.ndarray]
    draws: np.ndarray


@dataclass(frozen=True)
class BiasCorrection:
    """Hard and soft weights."""

    hard: Curves
    soft: Curves


def compute(folder: Path = DATA) -> BiasCorrection:
    """Moments over all pools; `folder` is not read."""
    del folder
    return BiasCorrection(
        _curves(bernoulli(float(np.log(HARD_P)))), _curves(two_level(*np.log(SOFT_P * np.array([1, *LEVELS]))))
    )


def _curves(law: Likelihoods) -> Curves:
    task = FixedAnswers(law.log_w).task(law.log_prior)
    exact = task.gradient(Q)
    size = np.linalg.norm(exact)
    bias, std = {}, {}
    for name, estimator in ESTIMATORS.items():
        all_moments = [enumerated(task, estimator, int(samples), Q) for samples in SAMPLES]
        bias[name] = np.array([np.linalg.norm(each.mean - exact) for each in all_moments]) / size
        std[name] = np.sqrt([each.variance for each in all_moments]) / size
    return Curves(bias, std, SAMPLES * np.exp(task.log_p) / (task.posterior @ np.exp(task.log_w)))


def plot(data: BiasCorrection) -> Figure:
    """Bias above, spread below; hard weights left, soft ones right, 7 in wide."""
    figure, panels = plt.subplots(2, 2, figsize=(7, 4.4), sharex=True, sharey="row", height_ratios=(1.5, 1))
    titles = (f"a  w in {{0, 1}}, P = {HARD_P:g}", f"b  w = {LEVELS[0]:g} P or {LEVELS[1]:g} P, P = {SOFT_P:g}")
    for column, (curves, title) in enumerate(zip((data.hard, data.soft), titles, strict=True)):
        upper, lower = panels[:, column]
        for style, name in zip(STYLES, ESTIMATORS, strict=True):
            upper.plot(SAMPLES, curves.bias[name], label=name, **style)
            lower.plot(SAMPLES, curves.std[name], **style)
        _guides(upper, curves)
        upper.set_title(title)
        lower.set_xlabel("samples a pool, M")
    panels[0, 0].set_xscale("log", base=2)
    panels[0, 0].set_xticks(SAMPLES[::2], [f"{size}" for size in SAMPLES[::2]])
    panels[0, 0].set_yscale("log")
    panels[0, 0].set_ylim(2e-6, 2)
    panels[1, 0].set_yscale("log")
    panels[0, 0].set_ylabel("relative bias")
    panels[1, 0].set_ylabel("relative std")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def _guides(axes: Axes, curves: Curves) -> None:
    """Lines of slope -1 and -2 beside GARL's and the jackknife's last points."""
    ends = SAMPLES[[-3, -1]].astype(float)
    for slope, name, shift in ((-1, "GARL", 1.7), (-2, "jackknife", 1.9)):
        line = curves.bias[name][-1] * shift * (ends / ends[-1]) ** slope
        axes.plot(ends, line, color="#888888", linewidth=0.8)
        text = "1/M" if slope == -1 else "1/M²"
        axes.annotate(text, (ends[0], line[0]), (3, 2), textcoords="offset points", color="#666666", fontsize=7)


def caption(data: BiasCorrection) -> str:
    """What is shown and what came out."""
    a, b = data.hard, data.soft
    least, most = _spread(a, b)
    left, noise = (
        listed([f"{values[name][0] / values['GARL'][0]:.2f}" for name in CORRECTIONS]) for values in (a.bias, a.std)
    )
    return (
        f"Bias (above) and standard deviation (below) over ||grad l_q|| at q = {Q:g}, exact sums over all pools of two "
        "rationales, with the leave-one-out baseline: GARL, its jackknife, its delta correction and the U-series. "
        f"a: hard weights, P = {HARD_P:g}; b: soft weights of mean P = {SOFT_P:g}. Orders of the bias in M, fitted to "
        f"M = {SAMPLES[-3]} to {SAMPLES[-1]}: a {_orders(a)}; b {_orders(b)} (QC-2: -1, -2, -2). At M = {SAMPLES[-1]} "
        f"jackknife and delta correction divide GARL's bias by {_gains(a)} (a) and by {_gains(b)} (b), with "
        f"{least:.3f} to {most:.3f} times its standard deviation. At M = {SAMPLES[0]} in a, {a.draws[0]:.1f} successes "
        f"a pool, they leave {left} of GARL's bias at {noise} times its standard deviation. The U-series' bias (QC-3) "
        "is one of length alone; on soft weights it stays near the gradient's own size until M is of the order of 1/P."
    )


def _orders(curves: Curves) -> str:
    fits = {name: fitted_slope(SAMPLES[-3:], curves.bias[name][-3:]) for name in ("GARL", *CORRECTIONS)}
    return ", ".join(f"{name} {float(value):.2f}" for name, value in fits.items())


def _gains(curves: Curves) -> str:
    return listed([power(float(curves.bias["GARL"][-1] / curves.bias[name][-1])) for name in CORRECTIONS])


def _spread(*panels: Curves) -> tuple[float, float]:
    """Least and largest standard deviation of a correction over GARL's at the largest M."""
    ratios = [float(one.std[name][-1] / one.std["GARL"][-1]) for one in panels for name in CORRECTIONS]
    return min(ratios), max(ratios)
