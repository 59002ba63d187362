"""One colour, dash and marker per estimator in every figure: q from dark to light, PAFT dotted, GRPO dashed grey-black.

The report of training runs has its own module with the same rule; a test compares the two.
"""

from typing import TypedDict

import matplotlib as mpl
from matplotlib.colors import to_hex

from figures.names import split

LIGHTEST = 0.82
"""Upper end of the used part of viridis: lighter colours are too pale on white."""
GREYS = {"grpo": "#222222", "dr_grpo": "#5a5a5a", "rloo": "#7d7d7d", "maxrl": "#9a9a9a", "star": "#b4b4b4"}
"""The estimators on sampled rewards, which have no q."""
MARKERS = ("o", "s", "^", "D", "v")
"""Markers by quarter of q, in addition to colour."""


class LineStyle(TypedDict):
    """Keywords of `Axes.plot`."""

    color: str
    linestyle: str | tuple[float, tuple[float, ...]]
    marker: str


def line_style(estimator: str, q: float | None) -> LineStyle:
    """The style of an estimator's line.

    Args:
        estimator: As results name it ("garl:q=0.75").
        q: Its q in [0, 1], None for an estimator without one.
    """
    name = split(estimator)[0]
    if q is None:
        return LineStyle(color=GREYS.get(name, "#5a5a5a"), linestyle=(0, (5, 2)), marker="x")
    return LineStyle(
        color=to_hex(mpl.colormaps["viridis"](LIGHTEST * q)),
        linestyle=(0, (1, 1.3)) if name in ("paft", "trice") else "-",
        marker=MARKERS[round(4 * q)],
    )
