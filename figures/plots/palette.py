"""Draw estimators in the style of the training report: one colour, dash and marker per estimator in every figure."""

from typing import TypedDict

from qtrain.report import palette


class LineStyle(TypedDict):
    """Keywords of `Axes.plot`."""

    color: str
    linestyle: str | tuple[float, tuple[float, ...]]
    marker: str


def line_style(estimator: str, q: float | None) -> LineStyle:
    """An estimator's style as keywords of `Axes.plot`.

    Args:
        estimator: As results name it ("garl:q=0.75").
        q: Its order on the continuum in [0, 1], None if it is not on the continuum.
    """
    style = palette.line_style(estimator, q)
    return LineStyle(color=style.color, linestyle=style.dashes, marker=style.marker)
