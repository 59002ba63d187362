"""Figure `noise_schedule`: its times are those of flows written here, and its caption says so."""

import math
from typing import Any

import numpy as np
from scipy.integrate import quad

from figures.plots.noise_schedule import FLIP, FLIPS, TARGET, TOLD, caption, compute


def slowness(p: Any, q: float) -> Any:
    """Of the sigmoid at one q, infinite where that q leads down."""
    pull = (1 - FLIP) * p**-q - FLIP * (1 - p) ** -q
    return np.where(pull > 0, 1, np.inf) / (np.abs(pull) * p**2 * (1 - p) ** 2)


def test_numbers() -> None:
    data = compute()
    stages = sum(
        quad(lambda x, q=q: slowness(math.exp(x), q) * math.exp(x), math.log(low), math.log(high), epsrel=1e-10)[0]
        for q, low, high in ((1.0, TOLD, 0.75), (0.0, 0.75, TARGET))
    )
    x = np.linspace(math.log(TOLD / (1 - TOLD)), math.log(TARGET / (1 - TARGET)), 20_001)
    p = 1 / (1 + np.exp(-x))
    fastest = np.trapezoid(np.min([slowness(p, q) for q in np.linspace(0, 1, 1001)], axis=0) * p * (1 - p), x)
    np.testing.assert_allclose(data.times[:2, 0], [fastest, stages], rtol=1e-6)
    assert (
        f"takes {fastest:.2f}, SFT up to that P and then RLVR {stages:.2f}, and the best single q, 0.73, 258.8"
        in caption(data)
    )
    for e, row in zip(FLIPS, data.rule, strict=True):
        assert (np.diff(row) <= 0).all()
        assert row[0] == 1
        assert row[data.p >= 1 - e].max(initial=0) == 0
