"""Assign each estimator a colour, dash and marker: q from dark to light, GARL solid, PAFT dotted, GRPO dashed grey."""

from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex, to_rgb

from qtrain.report.labels import PAFT_FAMILY, split

LIGHTEST = 0.82
"""Upper end of the part of viridis in use: lighter colours are too pale on white."""
GREYS = {
    "grpo": "#222222",
    "pkpo": "#3e3e3e",
    "dr_grpo": "#5a5a5a",
    "rb_pkpo": "#6c6c6c",
    "rloo": "#7d7d7d",
    "maxrl": "#9a9a9a",
    "star": "#b4b4b4",
    "sign": "#c6c6c6",
}
"""Colours of the estimators that have no q."""
MARKERS = ("o", "s", "^", "D", "v")
"""One per quarter of q, so that curves differ in more than colour: for print and for colour-blind readers."""


@dataclass(frozen=True)
class LineStyle:
    """The drawing style of an estimator's curve.

    Attributes:
        color: #rrggbb.
        dashes: matplotlib's linestyle.
        marker: matplotlib's marker.
    """

    color: str
    dashes: str | tuple[float, tuple[float, ...]]
    marker: str


def line_style(estimator: str, q: float | None) -> LineStyle:
    """The style of an estimator, the same in every figure.

    Args:
        estimator: As results name it ("garl:q=0.75").
        q: Its order on the continuum in [0, 1], None if it is not on the continuum.
    """
    name = split(estimator)[0]
    if q is None:
        return LineStyle(GREYS.get(name, "#5a5a5a"), (0, (5, 2)), "x")
    color = to_hex(mpl.colormaps["viridis"](LIGHTEST * q))
    dashes = (0, (1, 1.3)) if name in PAFT_FAMILY else "-"
    return LineStyle(color, dashes, MARKERS[round(4 * q)])


DARK_PAPER = "#16181a"
"""The page's background in dark mode."""
READABLE = 4.5
"""Smallest contrast that WCAG asks of text; a thin line needs at least as much."""


def on_dark(color: str) -> str:
    """The same hue for a dark background: mixed with white until its contrast is READABLE."""
    mixed = (to_hex((1 - share) * np.array(to_rgb(color)) + share) for share in np.linspace(0, 1, 101))
    return next(candidate for candidate in mixed if contrast(candidate, DARK_PAPER) >= READABLE)


def contrast(first: str, second: str) -> float:
    """The contrast ratio of two colours, from 1 to 21, as defined by WCAG 2."""
    low, high = sorted((_luminance(first), _luminance(second)))
    return (high + 0.05) / (low + 0.05)


def _luminance(color: str) -> float:
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in to_rgb(color)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))
