"""Draws by the inverse of the cumulative sum, against numpy's, for whole and for blocked vocabularies."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qtrain.rollout.sampling import WHOLE, draw

SIZES = st.integers(1, 60) | st.sampled_from([WHOLE, WHOLE + 1, 2500, 3001])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=SIZES, sharp=st.floats(0.1, 30))
def test_it_is_where_the_sum_passes_the_number(seed: int, size: int, sharp: float) -> None:
    rng = np.random.default_rng(seed)
    p_NV = np.exp(sharp * rng.normal(size=(5, size)))
    p_NV = (p_NV / p_NV.sum(1, keepdims=True)).astype(np.float32)
    p_NV[:, rng.random(size) < 0.3] = 0
    p_NV[:, rng.integers(size)] = 0.1
    uniform_N = rng.random(5)
    found_N = draw(torch.tensor(p_NV), torch.tensor(uniform_N)).numpy()
    for p_V, uniform, found in zip(p_NV.astype(np.float64), uniform_N, found_N, strict=True):
        total = p_V.sum()
        # The number falls into the token's own piece of the line, but for the rounding of float32 sums.
        before = p_V[:found].sum() / total
        assert before - 1e-6 <= uniform <= before + p_V[found] / total + 1e-6
        assert p_V[found] > 0


@pytest.mark.parametrize("size", [3, WHOLE, WHOLE + 1, 5000])
def test_both_ends_of_the_line_are_tokens_that_can_be_drawn(size: int) -> None:
    p_NV = torch.zeros(2, size)
    p_NV[:, 1] = 0.25
    p_NV[:, size - 2] = 0.75
    uniform_N = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    assert draw(p_NV, uniform_N).tolist() == [1, size - 2]


def test_a_long_vocabulary_has_its_frequencies() -> None:
    generator = torch.Generator().manual_seed(0)
    p_V = (3 * torch.randn(3000, generator=generator)).softmax(0)
    draws = 20_000
    uniform_N = torch.rand(draws, generator=generator, dtype=torch.float64)
    counts = np.bincount(draw(p_V.expand(draws, -1), uniform_N), minlength=3000)
    expected = draws * p_V.double().numpy()
    common = expected > 10
    z = (counts - expected)[common] / np.sqrt(expected * (1 - expected / draws))[common]
    assert np.abs(z).max() < 4.5
    assert abs(counts[~common].sum() - expected[~common].sum()) < 4.5 * expected[~common].sum() ** 0.5
