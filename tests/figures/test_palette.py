"""Figures and report share one style per estimator, and the styles can be told apart."""

import itertools

import pytest
from matplotlib import colormaps
from matplotlib.colors import to_hex, to_rgb

from figures.plots.palette import LineStyle, line_style
from qtheory.estimators import ESTIMATORS

QS = (0.0, 0.25, 0.5, 0.75, 1.0)
CASES = [(name, q) for name, spec in ESTIMATORS.items() for q in (QS if "q" in spec.parameters else (spec.fixed_q,))]


def style(name: str, q: float | None) -> LineStyle:
    return line_style(name if q is None or ESTIMATORS[name].fixed_q is not None else f"{name}:q={q:g}", q)


@pytest.mark.parametrize(("name", "q"), CASES)
def test_style_shows_family_and_q(name: str, q: float | None) -> None:
    drawn = style(name, q)
    if q is None:
        red, green, blue = to_rgb(drawn["color"])
        assert red == green == blue
        assert drawn["marker"] == "x"
        assert drawn["linestyle"] == (0, (5, 2))
        return
    assert drawn["color"] == to_hex(colormaps["viridis"](0.82 * q))
    assert drawn["marker"] == {0.0: "o", 0.25: "s", 0.5: "^", 0.75: "D", 1.0: "v"}[q]
    assert drawn["linestyle"] == ((0, (1, 1.3)) if name in ("paft", "trice") else "-")


def test_estimators_without_q_have_greys_of_their_own() -> None:
    greys = [style(name, q)["color"] for name, q in CASES if q is None]
    assert len(set(greys)) == len(greys)


def test_lightness_orders_q() -> None:
    # What remains without colour vision: relative luminance grows with q in visible steps.
    light = [sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), to_rgb(line_style("garl", q)["color"]), strict=True))
             for q in QS]  # fmt: skip
    assert all(b - a > 0.08 for a, b in itertools.pairwise(light))
