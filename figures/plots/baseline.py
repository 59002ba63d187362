"""Figure `baseline`: the best multiple of GARL's leave-one-out baseline, and the variance with two baselines."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.names import listed
from figures.plots.curves import REFERENCE, curve
from figures.plots.palette import line_style
from figures.study_data import DATA
from qtheory.claims.support.baselines import alike, chain, loo_ratio, one_right, weighted_ratio
from qtheory.exact import baseline_multiplier
from qtheory.models import FiniteTask

SAMPLES = 32
ORDER = 0.25
"""The q of panel a."""
SHOWN = (0.0, 0.25, 0.75, 1.0)
FAMILIES: dict[str, Callable[[float], FiniteTask]] = {
    "one right rationale": one_right,
    "two-hop chain": chain,
    "20 alike": alike,
}
STYLES = (
    {"color": line_style("garl", ORDER)["color"], "marker": "o", "linestyle": "-"},
    {"color": "#c2571a", "marker": "^", "linestyle": "-"},
    {"color": "#8d5aa8", "marker": "D", "linestyle": (0, (1, 1.3))},
)
"""All lines have one q, so colour shows the family here, not q as elsewhere."""


@dataclass(frozen=True)
class Baseline:
    """Multiples and variances at M = 32.

    Attributes:
        mass: By family, (n,) prior mass of the good rationales.
        multiplier: By family, (n,) beta* at ORDER.
        leading: (n,) leading term of beta* with one right rationale.
        loo: (Q, n) variance with the leave-one-out baseline over that without, at SHOWN, two-hop chain.
        weighted: (Q, n) the same for the norm-weighted baseline.
    """

    mass: dict[str, np.ndarray]
    multiplier: dict[str, np.ndarray]
    leading: np.ndarray
    loo: np.ndarray
    weighted: np.ndarray


def compute(folder: Path = DATA) -> Baseline:
    """Exact moments and sums over all pools; no data are read."""
    del folder
    p = 1 / (1 + np.exp(-np.linspace(np.log(1e-3), np.log(1e3), 43)))
    mass: dict[str, np.ndarray] = dict(zip(FAMILIES, (p, p, np.arange(1, 20) / 20), strict=True))
    multiplier = {
        name: np.array([float(baseline_multiplier(family(float(at)), ORDER, SAMPLES)) for at in mass[name]])
        for name, family in FAMILIES.items()
    }
    loo, weighted = (
        np.array([[ratio(chain(float(at)), q, SAMPLES) for at in p] for q in SHOWN])
        for ratio in (loo_ratio, weighted_ratio)
    )
    return Baseline(mass, multiplier, (1 - ORDER) * (1 - p) / p, loo, weighted)


def crossing(data: Baseline) -> float:
    """The P at which beta* falls to 1/2 with one right rationale."""
    name = next(iter(FAMILIES))
    logit = np.log(data.mass[name] / (1 - data.mass[name]))
    at = np.interp(0, -np.log(2 * data.multiplier[name]), logit)
    return float(1 / (1 + np.exp(-at)))


def plot(data: Baseline) -> Figure:
    """Two panels, 7 in wide."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3.0))
    for style, (name, values) in zip(STYLES, data.multiplier.items(), strict=True):
        left.plot(data.mass[name], values, label=name, markevery=max(1, len(values) // 6), **style)
    left.plot(data.mass["two-hop chain"], data.leading, **REFERENCE, label="leading term, one right")
    left.axhline(0.5, color="#222222", linewidth=0.7)
    left.annotate("below: raises the variance", (1.3e-3, 0.44), va="top", fontsize=7, color="#444444")
    left.set(ylim=(2e-2, 60), ylabel="best multiple of the baseline")
    left.set_title(f"a  best multiple, q = {ORDER:g}")
    left.legend(loc="lower left")
    for q, loo, weighted in zip(SHOWN, data.loo, data.weighted, strict=True):
        p = data.mass["two-hop chain"]
        curve(right, p, loo, q, linestyle=(0, (5, 2)), label=None)
        curve(right, p, weighted, q)
    right.axhline(1, **REFERENCE)
    right.plot([], [], color="#555555", linestyle=(0, (5, 2)), label="leave-one-out")
    right.plot([], [], color="#555555", label="norm-weighted")
    right.set(ylabel="variance over that without baseline")
    right.set_title("b  two baselines, two-hop chain")
    handles, labels = right.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    for axes in (left, right):
        _axis(axes)
    return figure


def _axis(axes: Axes) -> None:
    axes.set(yscale="log", xlabel="mass of good rationales")
    axes.set_xscale("logit")
    axes.set_xticks([1e-3, 1e-2, 0.1, 0.5, 0.9, 0.99, 0.999], ["0.001", "0.01", "0.1", "0.5", "0.9", "0.99", "0.999"])
    axes.minorticks_off()


def caption(data: Baseline) -> str:
    """Describe the panels and state the results."""
    worst, there = (listed([f"{float(v):.2g}" for v in values]) for values in _at_worst(data))
    return (
        f"The leave-one-out baseline of GARL (QC-4), exact at M = {SAMPLES}, against the good rationales' prior mass. "
        f"a: the multiple of it that makes the variance least, at q = {ORDER:g}: with one right and one wrong "
        "rationale, on a two-hop chain with two good ones and a bad one, and with 20 rationales of equal prior, whose "
        "scores have one length. Below 1/2 the baseline itself raises the variance: with one right rationale from P = "
        f"{crossing(data):.2f} on. In a cold start its multiple stays below its leading term (dashed), at most "
        f"{float(max(v.max() for v in data.multiplier.values())):.1f}. "
        "b: on the chain, the variance over that without a baseline: leave-one-out (dashed) and norm-weighted (solid). "
        f"At their worst the first raise it {worst}-fold at q = {listed([f'{q:g}' for q in SHOWN])}; there the "
        f"weighted one multiplies it by {there}. It has its own worst at q = 1, {float(data.weighted.max()):.2g}-fold."
    )


def _at_worst(data: Baseline) -> tuple[np.ndarray, np.ndarray]:
    """(Q,) the largest ratio with the leave-one-out baseline, and the weighted one's at that mass."""
    place = data.loo.argmax(-1)[:, None]
    return np.take_along_axis(data.loo, place, -1)[:, 0], np.take_along_axis(data.weighted, place, -1)[:, 0]
