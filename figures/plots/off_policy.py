"""Figure `off_policy`: what draws of another distribution are worth, and when their importance ratio pays."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.names import listed, power
from figures.plots.curves import REFERENCE
from figures.study_data import DATA
from qtheory.claims.own.qc_13 import NOISE, TOKEN, P, break_even, heated, shifted, squared_error, stale, unweighted
from qtheory.exact import Moments, moments, reweighted_moments

TEMPERATURES = (0.8, 1.1, 1.2, 1.4)
SHADES = ("#6a51a3", "#fdae6b", "#e6550d", "#8c2d04")
LENGTHS = np.arange(0, 401, 10)
DRIFT = 0.4
PLAIN, RATIO, OWN = "#c2571a", "#222222", "#888888"


@dataclass(frozen=True)
class OffPolicy:
    """Worths and squared errors.

    Attributes:
        worth: (T, n) draws of the model's own that one at a temperature is worth, at LENGTHS.
        size: (k,) M.
        ratio: (k,) squared error over the squared gradient at q = 1, with the ratio.
        plain: (k,) the same without it.
        own: (k,) the same of the model's own draws.
        even: M from which on the ratio has the smaller error.
    """

    worth: np.ndarray
    size: np.ndarray
    ratio: np.ndarray
    plain: np.ndarray
    own: np.ndarray
    even: int


def compute(folder: Path = DATA) -> OffPolicy:
    """Closed forms and exact moments; no data are read."""
    del folder
    task, x = shifted(NOISE)
    log_mu = stale(task, x, DRIFT)
    size = np.unique(np.rint(np.geomspace(1, 1e5, 41) / P).astype(int))
    unit = float(np.sum(task.score**2))

    def errors(of: list[Moments]) -> np.ndarray:
        return np.array([squared_error(value) for value in of]) / unit

    return OffPolicy(
        np.array([np.sum(TOKEN**2 / heated(t)) ** -LENGTHS.astype(float) for t in TEMPERATURES]),
        size,
        errors([reweighted_moments(task, 1.0, int(m), log_mu=log_mu) for m in size]),
        errors([unweighted(task, log_mu, 1.0, int(m)) for m in size]),
        errors([moments(task, 1.0, int(m)) for m in size]),
        break_even(task, log_mu),
    )


def plot(data: OffPolicy) -> Figure:
    """Two panels, 7 in wide."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.8))
    for shade, temperature, worth in zip(SHADES, TEMPERATURES, data.worth, strict=True):
        left.plot(LENGTHS, worth, color=shade)
        left.text(LENGTHS[-1] + 8, worth[-1], f"T = {temperature:g}", color=shade, va="center")
    left.axhline(1, **REFERENCE)
    left.set(yscale="log", xlim=(0, 480), ylim=(1e-5, 3), xlabel="length of the rationale, tokens")
    left.set_ylabel("own draws that one is worth")
    left.minorticks_off()
    left.set_title("a  draws at another temperature")
    _draw_errors(right, data)
    return figure


def _draw_errors(axes: Axes, data: OffPolicy) -> None:
    successes = data.size * P
    axes.plot(successes, data.own, color=OWN, linewidth=0.9, linestyle=(0, (4, 2)))
    axes.plot(successes, data.plain, color=PLAIN)
    axes.plot(successes, data.ratio, color=RATIO)
    at = data.even * P
    axes.axvline(at, color="#444444", linewidth=0.7, linestyle=":")
    axes.text(at * 1.25, 30, f"the ratio pays from\n{at:.0f} successes on", color="#444444", va="center")
    axes.text(successes[-1], data.plain[-1] * 2.2, "without the ratio: bias", color=PLAIN, ha="right", va="bottom")
    axes.text(successes[-5] * 0.6, data.ratio[-5] * 1.9, "with it", color=RATIO, ha="left", va="bottom")
    axes.text(successes[-9], data.own[-9] * 0.5, "own draws", color=OWN, ha="right", va="top")
    axes.set(xscale="log", yscale="log", xlabel="successes among the draws, M P", ylabel="relative squared error")
    axes.minorticks_off()
    axes.set_title("b  stale draws")


def caption(data: OffPolicy) -> str:
    """What is shown and what came out."""
    ends = listed([f"{power(float(row[10]))} at T = {t:g}" for t, row in zip(TEMPERATURES, data.worth, strict=True)])
    return (
        "Draws from another distribution mu than the model's pi, with pi/mu in their weights (QC-13). "
        f"a: own draws that one draw at temperature T is worth, E_post w/E_post[(pi/mu) w], for rationales of tokens "
        f"with two values of probability {TOKEN[0]:g} and {TOKEN[1]:g}: {ends}, all at {LENGTHS[10]} tokens. "
        f"b: squared error over the squared gradient, q = 1, for a mu that lags the model by {DRIFT:g} standard "
        f"deviations of x, w in {{0, 1}}, P = {P:g}, rho = {NOISE:g}; exact moments. Without the ratio the error stops "
        f"at {power(float(data.plain[-1]))}; with it it falls on, and is the smaller one from M P = "
        f"{data.even * P:.0f} on."
    )
