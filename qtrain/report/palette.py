"""Colours and line styles: one colour per q from dark to light, GARL solid, PAFT dotted, GRPO dashed grey-black."""

from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex, to_rgb

from qtrain.report.names import PAFT_FAMILY, split

LIGHTEST = 0.82
"""End of viridis that is used: what lies above is too pale on white."""
OUTSIDE = {"grpo": "#222222", "dr_grpo": "#5a5a5a", "rloo": "#7d7d7d", "maxrl": "#9a9a9a", "star": "#b4b4b4"}
"""Greys for the estimators on sampled rewards, which have no q."""
MARKERS = ("o", "s", "^", "D", "v", "P")
"""A second sign beside the colour, for print and for eyes that see fewer colours: one per quarter of q."""


@dataclass(frozen=True)
class LineStyle:
    """How an estimator's curve is drawn.

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
        q: Its place on the continuum, None outside.
    """
    name = split(estimator)[0]
    if q is None:
        return LineStyle(OUTSIDE.get(name, "#5a5a5a"), (0, (5, 2)), "x")
    color = to_hex(mpl.colormaps["viridis"](LIGHTEST * q))
    dashes = (0, (1, 1.3)) if name in PAFT_FAMILY else "-"
    return LineStyle(color, dashes, MARKERS[round(4 * q)])


DARK_PAPER = "#16181a"
"""The page's background in dark mode."""
READABLE = 4.5
"""Contrast that WCAG asks of text; a thin line is no easier to see."""


def on_dark(color: str) -> str:
    """The same hue on dark paper: mixed with white until it can be seen."""
    mixed = (to_hex((1 - share) * np.array(to_rgb(color)) + share) for share in np.linspace(0, 1, 101))
    return next(one for one in mixed if contrast(one, DARK_PAPER) >= READABLE)


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, from 1 to 21, as WCAG 2 defines it."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(color: str) -> float:
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in to_rgb(color)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))
