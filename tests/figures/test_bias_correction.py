"""What the caption of `bias_correction` states, against binomial sums and the U-series' factor."""

import numpy as np
import pytest
from scipy.stats import binom

from figures.plots import bias_correction
from figures.plots.bias_correction import HARD_P, SAMPLES, SOFT_P, Q


@pytest.fixture(scope="module")
def data() -> bias_correction.BiasCorrection:
    return bias_correction.compute()


def test_garl_on_hard_weights_is_a_binomial_sum(data: bias_correction.BiasCorrection) -> None:
    exact = []
    for size in SAMPLES:
        k = np.arange(size + 1)
        amplification = binom.pmf(k, size, HARD_P) @ (k / size) ** (1 - Q) / HARD_P
        exact.append(1 - amplification * HARD_P**Q)
    np.testing.assert_allclose(data.hard.bias["GARL"], np.abs(exact), rtol=1e-9)


@pytest.mark.parametrize(("name", "p"), [("hard", HARD_P), ("soft", SOFT_P)])
def test_the_u_series_is_short_by_what_its_series_lacks(
    data: bias_correction.BiasCorrection, name: str, p: float
) -> None:
    k = np.arange(SAMPLES[-1])
    terms = np.concatenate([[1.0], np.cumprod((Q + k[:-1]) / k[1:])]) * (1 - p) ** k
    short = 1 - np.cumsum(terms)[SAMPLES - 1] * p**Q
    np.testing.assert_allclose(getattr(data, name).bias["U-series"], short, rtol=1e-6, atol=1e-10)


def test_the_caption_says_what_was_computed(data: bias_correction.BiasCorrection) -> None:
    text = bias_correction.caption(data)
    gain = data.hard.bias["GARL"][-1] / data.hard.bias["delta"][-1]
    assert f"and {gain:.3g} (a)" in text
    assert data.hard.draws[0] == pytest.approx(SAMPLES[0] * HARD_P)
