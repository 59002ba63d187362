"""Curves of the continuum in theory figures: one colour and marker per q, with few markers on many points."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from figures.plots.palette import line_style

Q = (0.0, 0.25, 0.5, 0.75, 1.0)
"""The paper's five values."""
REFERENCE = {"color": "#888888", "linewidth": 0.8, "linestyle": (0, (4, 2)), "zorder": 1.5}
"""Style of leading terms, bounds and limits: thin and dashed grey."""


def curve(axes: Axes, x: np.ndarray, y: np.ndarray, q: float, *, estimator: str = "garl", **changes: Any) -> None:
    """Draw y (n,) against x (n,) in the style of q, with a marker at every sixth part of the points.

    Args:
        axes: Axes to draw on.
        x: Abscissae.
        y: Ordinates.
        q: Place on the continuum.
        estimator: Estimator whose style is used, as in `line_style`.
        changes: Keywords of `Axes.plot` that override the style.
    """
    every = max(1, len(x) // 6)
    first = round(every * (0.2 + 0.7 * q))
    style: dict[str, Any] = {**line_style(estimator, q), "label": f"q = {q:g}", "markevery": (first, every)}
    axes.plot(x, y, **{**style, **changes})


def write_along(axes: Axes, x: np.ndarray, y: np.ndarray, words: str, **style: Any) -> None:
    """Write above the line from the first to the last of the points, at its angle on the page.

    Draw the figure without rendering first: panels get their places then, and lines their angles.

    Args:
        axes: Logarithmic in both directions.
        x: (n,) abscissae, at least 2.
        y: (n,) ordinates.
        words: What to write.
        style: Keywords of `Axes.annotate`.
    """
    ends = axes.transData.transform(np.column_stack([x[[0, -1]], y[[0, -1]]]))
    right, up = ends[1] - ends[0]
    angle = float(np.degrees(np.arctan2(up, right)))
    above = -3 * np.sin(np.radians(angle)), 3 * np.cos(np.radians(angle))
    text = axes.annotate(
        words,
        (float(np.sqrt(x[0] * x[-1])), float(np.sqrt(y[0] * y[-1]))),
        above,
        textcoords="offset points",
        rotation=angle,
        rotation_mode="anchor",
        ha="center",
        **style,
    )
    text.set_in_layout(False)


def bold(value: float) -> str:
    """A positive number for the end of a line, in bold: whole below 1000, else a power of ten with one digit."""
    if value < 1000:
        return f"$\\mathbf{{{value:.0f}}}$"
    mantissa, _, exponent = f"{value:.0e}".partition("e")
    factor = "" if mantissa == "1" else f"{mantissa}\\cdot "
    return f"$\\mathbf{{{factor}10^{{{int(exponent)}}}}}$"
