"""Figure `factorisations`: the two factorisations of the gradient, and the estimator that each leads to."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from figures.plots.palette import line_style
from figures.study_data import DATA

INK = "#333333"
Point = tuple[float, float]


@dataclass(frozen=True)
class Reading:
    """One way to write grad l_q, from the gradient to its estimator.

    Attributes:
        factored: The gradient as a factor times an endpoint's gradient.
        samples: Source of the rationales, and the role of the factor.
        estimator: The estimator's name, algorithm and form.
        low: The case q = 0.
        high: The case q = 1.
    """

    factored: str
    samples: str
    estimator: str
    low: str
    high: str


@dataclass(frozen=True)
class Factorisations:
    """The gradient and its two factorisations."""

    gradient: str
    readings: tuple[Reading, Reading]


def compute(folder: Path = DATA) -> Factorisations:
    """Texts of the diagram; no data are read."""
    del folder
    amplified = Reading(
        r"$P^{-q}\,\nabla\ell_0$",
        "rationales from the prior $p(z|x)$,\nreward amplified by $P^{-q}$",
        "GARL (Algorithm 1)\n" + r"$\overline{g}\,/\,\overline{w}^{\,q}$, with a baseline",
        "Rao-Blackwellised\nREINFORCE (VeriFree)",
        "IWAE gradient",
    )
    attenuated = Reading(
        r"$P^{1-q}\,\nabla\ell_1$",
        "rationales from the posterior $p(z|x,y^*)$,\nfine-tuning attenuated by $P^{1-q}$",
        "PAFT (Algorithm 2)\n" + r"$-\overline{w}^{\,1-q}\;\overline{\nabla\log p(z,y^*|x)}$, resampled",
        "P times fine-tuning on\nposterior samples (SFT)",
        "E-step of EM (TRICE)",
    )
    return Factorisations(r"$\nabla\ell_q\;=\;-\nabla\log_q P$", (amplified, attenuated))


def plot(data: Factorisations) -> Figure:
    """A diagram, 7 in wide, with the two readings side by side."""
    figure, axes = plt.subplots(figsize=(7, 3.7))
    axes.set(xlim=(0, 100), ylim=(0, 56))
    axes.axis("off")
    _box(axes, 50, 51, 30, 7, data.gradient, size=10)
    for centre, reading, name in zip((25, 75), data.readings, ("garl", "paft"), strict=True):
        low, high = centre - 12, centre + 12
        _arrow(axes, (50 + (centre - 50) * 0.35, 47.5), (centre, 42.3))
        _box(axes, centre, 39, 22, 6.6, reading.factored, size=10)
        _arrow(axes, (centre, 35.7), (centre, 33.1))
        axes.text(centre, 30.6, reading.samples, ha="center", va="center", color=INK)
        _arrow(axes, (centre, 28.1), (centre, 25.5))
        _box(axes, centre, 21.4, 44, 8.2, reading.estimator, size=8)
        for place, q, text in ((low, 0.0, reading.low), (high, 1.0, reading.high)):
            style = line_style(name, q)
            _arrow(axes, (place, 17.3), (place, 10.7), color=style["color"], linestyle=style["linestyle"])
            axes.text(place + 1.2, 14, f"q = {q:g}", ha="left", va="center", color=INK)
            _box(axes, place, 6.4, 22.5, 8.2, text, edge=style["color"])
    axes.text(50, 39, "=", ha="center", va="center", fontsize=12, color=INK)
    _arrow(axes, (47, 21.4), (53, 21.4), head="<|-|>")
    axes.text(50, 24.8, "same\nmean", ha="center", va="center", color=INK, linespacing=1.0)
    return figure


def _box(
    axes: Axes, x: float, y: float, width: float, height: float, text: str, *, size: float = 7.5, edge: str = INK
) -> None:
    """Draw a rounded box with a text, centred at (x, y)."""
    corner = (x - width / 2, y - height / 2)
    style = "round,pad=0,rounding_size=1.2"
    axes.add_patch(FancyBboxPatch(corner, width, height, style, facecolor="white", edgecolor=edge, linewidth=0.9))
    axes.text(x, y, text, ha="center", va="center", fontsize=size, color=INK)


def _arrow(
    axes: Axes, start: Point, end: Point, *, color: str = INK, linestyle: object = "-", head: str = "-|>"
) -> None:
    line = {"color": color, "linewidth": 0.9, "linestyle": linestyle, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops={"arrowstyle": head, **line})


def caption(data: Factorisations) -> str:
    """Describe the panels."""
    del data
    return (
        "The gradient of l_q is P^-q times that of l_0 and P^(1-q) times that of l_1. The first reading samples "
        "rationales from the model and amplifies their reward: GARL, which is Rao-Blackwellised REINFORCE (VeriFree) "
        "at q = 0 and the IWAE gradient at q = 1. The second resamples them from the posterior and attenuates "
        "fine-tuning on them: PAFT, which is EM's E-step (TRICE) at q = 1 and P times fine-tuning on posterior samples "
        "at q = 0. Given the pool, PAFT's mean is GARL's plug-in."
    )
