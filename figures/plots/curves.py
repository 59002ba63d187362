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
