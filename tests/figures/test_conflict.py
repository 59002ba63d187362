"""Figure `conflict`: exponents beside an easy example, and the order of times that conflict reverses."""

import numpy as np
import pytest

from figures.plots.conflict import ALIGNED, EASIER, HARDER, Q, caption, compute, exponents
from qtheory.escape import sigmoid_time


@pytest.mark.slow
def test_numbers() -> None:
    data = compute()
    np.testing.assert_allclose(exponents(data), [-1 / (1 + cosine) for cosine in ALIGNED], atol=5e-3)
    # At a right angle each example is alone, at half the speed.
    np.testing.assert_allclose(data.easier[0], 2 * sigmoid_time(EASIER, 0.5, Q), rtol=1e-5)
    np.testing.assert_allclose(data.harder[0], 2 * sigmoid_time(HARDER, 0.5, Q), rtol=1e-5)
    assert data.easier[-1, -1] > 4 * data.easier[-1, 0]
    assert f"it takes {data.easier[-1, -1]:.0f} at q = 1 and {data.easier[-1, 0]:.0f} at q = 0" in caption(data)
