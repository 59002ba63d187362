"""Figure `escape_laws`: escape laws by closed form, path solver, finite M and the transformer."""

import math
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.names import listed
from figures.plots import escape_exponents
from figures.plots.palette import line_style
from figures.plots.slopes import common_slope
from figures.study_data import DATA
from qtheory.claims.own.qc_1 import PRIOR, RELATIVE
from qtheory.escape import family, hard_time, log_family_times, log_sigmoid_time, soft_time

Q = (0.0, 0.25, 0.5, 0.75, 1.0)
DELTA = 0.2
SAMPLES = 32
FAMILY = "latent-softmax"
FITTED = (1e-9, 1e-6)
"""Range of p0 in which the theory's exponents are fitted; below 1/M, so that finite M has an effect."""


@dataclass(frozen=True)
class Line:
    """Times at one q.

    Attributes:
        q: In [0, 1].
        p0: (n,) starts.
        time: (n,) times or updates.
        exponent: Fitted slope of log time in log p0.
    """

    q: float
    p0: np.ndarray
    time: np.ndarray
    exponent: float


@dataclass(frozen=True)
class EscapeLaws:
    """The lines by panel title, and the dashed lines of finite M on soft weights."""

    panels: dict[str, tuple[Line, ...]]
    soft: tuple[Line, ...]


CLOSED, SOLVED, FINITE, MODEL = (
    "a  closed form: the sigmoid",
    "b  path solver: softmax with latents",
    f"c  finite M = {SAMPLES}: w in {{0, 1}}; dashed w ~ P",
    "d  SGD on the transformer",
)


def compute(folder: Path = DATA) -> EscapeLaws:
    """Times by three theories, and the fits of the study `escape_exponents`.

    Args:
        folder: Folder of the data file.

    Raises:
        UserError: The data file is missing or malformed.
    """
    p0 = np.geomspace(1e-9, 1e-2, 15)
    log_p0, orders = np.log(p0)[:, None], np.array(Q)
    solved = np.exp(log_family_times(family(FAMILY), log_p0[:, 0], DELTA, Q, rtol=1e-9))
    soft = soft_time(p0[:, None], DELTA, orders, SAMPLES, prior=PRIOR, relative=RELATIVE)
    measured = []
    for exponent in escape_exponents.compute(folder).exponents:
        at = [row.p0 for row in exponent.used]
        times = [escape_exponents.updates(row) for row in exponent.used]
        slope = math.nan if exponent.fit is None else exponent.fit.value
        measured.append(Line(exponent.q, np.array(at), np.array(times, dtype=float), slope))
    panels = {
        CLOSED: _fitted(p0, np.exp(log_sigmoid_time(log_p0, DELTA, orders))),
        SOLVED: _fitted(p0, solved),
        FINITE: _fitted(p0, hard_time(p0[:, None], DELTA, orders, SAMPLES)),
        MODEL: tuple(measured),
    }
    return EscapeLaws(panels, _fitted(p0, soft))


def _fitted(p0: np.ndarray, times: np.ndarray) -> tuple[Line, ...]:
    in_range = (p0 >= FITTED[0] * 0.99) & (p0 <= FITTED[1] * 1.01)
    lines = []
    for index, q in enumerate(Q):
        fit = common_slope(
            [0] * int(in_range.sum()), np.log(p0[in_range]).tolist(), np.log(times[in_range, index]).tolist()
        )
        lines.append(Line(q, p0, times[:, index], math.nan if fit is None else fit.value))
    return tuple(lines)


def plot(data: EscapeLaws) -> Figure:
    """Two by two panels, 7 in wide."""
    figure, panels = plt.subplots(2, 2, figsize=(7, 5.2), sharex=True)
    for axes, (title, lines) in zip(panels.flat, data.panels.items(), strict=True):
        for line in lines:
            _draw(axes, line, points=title == MODEL)
        for line in data.soft if title == FINITE else ():
            axes.plot(line.p0, line.time, color=line_style("garl", line.q)["color"], linestyle="--", linewidth=0.9)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_title(title)
        axes.legend(loc="upper right", title="fitted exponents")
    for axes in panels[1]:
        axes.set_xlabel("P at the start, p0")
    for axes in panels[:, 0]:
        axes.set_ylabel(f"time until P = {DELTA:g}")
    panels[0, 1].set_ylabel(f"time until P = {DELTA:g}")
    panels[1, 1].set_ylabel("updates until P > 0.05")
    panels[1, 1].set_ylim(3, 3e5)  # room for the legend
    return figure


def _draw(axes: Axes, line: Line, *, points: bool) -> None:
    style = line_style("garl", line.q)
    label = f"q = {line.q:g}: {line.exponent:.2f}".replace("-", "−")
    if not points:
        axes.plot(line.p0, line.time, label=label, markevery=(round(3 * line.q), 4), **style)
        return
    axes.plot(line.p0, line.time, label=label, color=style["color"], marker=style["marker"], linestyle="")
    order = np.argsort(line.p0)
    x, y = np.log(line.p0[order]), np.log(line.time)
    axes.plot(np.exp(x), np.exp(y.mean() + line.exponent * (x - x.mean())), color=style["color"])


def caption(data: EscapeLaws) -> str:
    """Describe the panels and state the results."""
    theory = listed([f"{q - 1:g}" for q in Q])
    slopes = {title: listed([f"{line.exponent:.2f}" for line in lines]) for title, lines in data.panels.items()}
    soft = listed([f"{line.exponent:.2f}" for line in data.soft])
    low, high = FITTED
    fewest = escape_exponents.FEWEST_UPDATES
    return (
        f"Escape times against p0 and their exponents, least squares of log T on log p0, at q = "
        f"{listed([f'{q:g}' for q in Q])}; Thm 5.2 has -(1-q) as p0 falls: {theory}. a to c are times of gradient flow "
        f"on one example to P = {DELTA:g}, fitted from p0 = {low:.0e} to {high:.0e}. a, the sigmoid in closed form "
        f"(App C.1): {slopes[CLOSED]}. b, a softmax over rationales and their answers by the path: {slopes[SOLVED]}. "
        f"c, the expected plug-in update of M = {SAMPLES} draws on the sigmoid (Thm 6.1): with w in {{0, 1}} "
        f"{slopes[FINITE]}, below p0 = 1/M the exponent of q = 0 at every q (QC-1); with w ~ P {soft}. "
        f"d, SGD on the transformer, one sign a run that took at least {fewest} updates, one intercept a base: "
        f"{slopes[MODEL]}. At q = 1 the time is a logarithm, whose exponent over such a range is not 0 yet."
    )
