"""Figure `trajectories`: stages add up, and the ratios near the optimum are the closed form's."""

import numpy as np

from figures.plots.trajectories import P0, RATIO, SWITCH, caption, compute
from qtheory.escape import sigmoid_time


def test_numbers() -> None:
    data = compute()
    after = data.p > SWITCH
    np.testing.assert_allclose(data.stepwise[~after], data.time[~after, -1], rtol=1e-12)
    added = sigmoid_time(P0, SWITCH, 1.0) + sigmoid_time(SWITCH, data.p[after], 0.0)
    np.testing.assert_allclose(data.stepwise[after], added, rtol=1e-12)
    leading = (1 - np.array([0.0, 0.25, 0.5, 0.75])) * np.log(RATIO) / (RATIO - 1)
    # The path solver's own error is left in a difference of times at eps0 = 1e-4.
    for excess in (data.excess, data.others["arms"], data.others["chain"]):
        np.testing.assert_allclose(excess[0] / data.eps[0], leading, rtol=2e-3)
    assert "the slope at q = 0 is 1.000 at eps0 = 1e-4" in caption(data)
