"""The figures' and the report's rule for colours are one, and its colours can be told apart."""

import itertools

import pytest
from matplotlib.colors import to_rgb

from figures.plots.palette import line_style
from qtheory.estimators import ESTIMATORS
from qtrain.report.palette import line_style as report_style

QS = (0.0, 0.25, 0.5, 0.75, 1.0)
CASES = [(name, q) for name, spec in ESTIMATORS.items() for q in (QS if "q" in spec.parameters else (spec.fixed_q,))]


@pytest.mark.parametrize(("name", "q"), CASES)
def test_figures_and_report_agree(name: str, q: float | None) -> None:
    estimator = name if q is None or ESTIMATORS[name].fixed_q is not None else f"{name}:q={q:g}"
    here, there = line_style(estimator, q), report_style(estimator, q)
    assert (here["color"], here["linestyle"], here["marker"]) == (there.color, there.dashes, there.marker)


def test_lightness_orders_q() -> None:
    # What remains without colour vision: relative luminance grows with q in visible steps.
    light = [sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), to_rgb(line_style("garl", q)["color"]), strict=True))
             for q in QS]  # fmt: skip
    assert all(b - a > 0.08 for a, b in itertools.pairwise(light))
