"""Figure `escape_times`: the caption's numbers are those of the closed form and of the exponents."""

import numpy as np
import pytest

from figures.plots.escape_times import Q, caption, compute, deepest
from qtheory.escape import sigmoid_time


@pytest.mark.slow
def test_numbers() -> None:
    data = compute()
    np.testing.assert_allclose(data.closed, sigmoid_time(data.p0[:, None], 0.5, Q), rtol=1e-12)
    np.testing.assert_allclose(data.solved["arms"], 0.9 * data.closed, rtol=1e-8)
    assert 1e-4 < deepest(data) < 1e-3
    below = [np.abs(one[:5, :-1] - (np.array(Q[:-1]) - 1)).max() for one in data.exponents.values()]
    assert f"below q = 1 all are within {max(below):.0e} of -(1-q)" in caption(data)
