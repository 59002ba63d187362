"""Laws of the exact moments, their limits, reward estimators by enumeration, and the estimators themselves."""

import itertools
import math

import numpy as np
import pytest

from figures.exact.cases import random_task, task
from qtheory import estimators
from qtheory.estimators import Coefficients
from qtheory.exact import FORMS, moments
from qtheory.models import FiniteTask

REWARDS = {
    "grpo": estimators.grpo,
    "dr_grpo": estimators.dr_grpo,
    "reward_rloo": estimators.rloo,
    "maxrl": estimators.maxrl,
    "star": estimators.star,
}
POOLS = 20_000


def estimates(example: FiniteTask, index: np.ndarray, coefficients: Coefficients) -> np.ndarray:
    """Gradient estimates (N, d) of pools of rationales (N, M)."""
    total = np.einsum("nm,nmd->nd", coefficients.rationale, example.prior_score[index])
    total += np.einsum("nm,nmd->nd", coefficients.answer, example.answer_score[index])
    return -total / index.shape[1]


class TestUnamplified:
    """At q = 0 everything is a polynomial."""

    def test_the_plug_in(self):
        example, size = random_task(np.random.default_rng(1), 5, 3), 9
        prior, w = np.exp(example.log_prior), np.exp(example.log_w)
        terms = w[:, None] * (example.prior_score + example.answer_score)
        ours = moments(example, 0.0, size)
        spread = prior @ np.sum((terms - prior @ terms) ** 2, -1) / size
        np.testing.assert_allclose(ours.mean, -prior @ terms, rtol=1e-13)
        assert np.all(ours.bias == 0)
        assert ours.variance == pytest.approx(spread, rel=1e-13)

    def test_the_baseline(self):
        example, size = random_task(np.random.default_rng(2), 5, 3), 9
        prior, w, h = np.exp(example.log_prior), np.exp(example.log_w), example.prior_score
        g = -w[:, None] * (h + example.answer_score)
        p = prior @ w
        square = prior @ np.sum(h**2, -1)
        added = 2 * p * (prior @ np.sum(g * h, -1)) / size
        added += square * (p**2 + (prior @ (w - p) ** 2) / (size - 1)) / size
        added += np.sum((prior @ (h * w[:, None])) ** 2) / (size * (size - 1))
        ours = moments(example, 0.0, size, "rloo").variance - moments(example, 0.0, size).variance
        assert ours == pytest.approx(added, rel=1e-11)


@pytest.mark.parametrize("q", [0.25, 0.75, 1.0])
def test_hard_weights_saturate_the_amplification_at_m_to_the_q(q: float):
    example = task((1e-9, 1 - 1e-9), (0.0, -np.inf))
    ours = moments(example, q, 32)
    np.testing.assert_allclose(ours.mean, 32**q * example.gradient(0.0), rtol=1e-6)


def test_the_bias_falls_as_one_over_m():
    """Thm 6.1, with its coefficient q/(M P^(q+1)) [ (q+1)/2 Var(w) grad l_1 - Cov(g, w) ]."""
    example, q = random_task(np.random.default_rng(3), 6, 3), 0.6
    prior, w = np.exp(example.log_prior), np.exp(example.log_w)
    p = prior @ w
    g = -w[:, None] * (example.prior_score + example.answer_score)
    covariance = (prior * (w - p)) @ g
    coefficient = q / p ** (q + 1) * ((q + 1) / 2 * (prior @ (w - p) ** 2) * example.gradient(1.0) - covariance)
    sizes = np.array([1e4, 1e5, 1e6]).astype(int)
    scaled = moments(example, q, sizes).bias * sizes[:, None]
    gaps = np.linalg.norm(scaled - coefficient, axis=-1)
    np.testing.assert_allclose(np.diff(np.log(gaps)) / np.diff(np.log(sizes)), -1, atol=1e-3)


def test_resampling_and_the_baseline_leave_the_mean_alone():
    example = random_task(np.random.default_rng(4), 6, 3)
    q, size = np.linspace(0, 1, 5)[:, None], np.array([1, 3, 50])
    plug_in, baseline, resampled = (moments(example, q, size, form) for form in ("plugin", "rloo", "paft"))
    np.testing.assert_array_equal(plug_in.mean, baseline.mean)
    np.testing.assert_array_equal(plug_in.mean, resampled.mean)
    assert np.all(resampled.variance >= plug_in.variance)  # Prop D.4


@pytest.mark.parametrize("form", FORMS)
def test_a_grid_is_its_cells(form: str):
    example = random_task(np.random.default_rng(6), 4, 3)
    q, size = np.array([[0.0], [0.4], [1.0]]), np.array([1, 2, 100])
    grid = moments(example, q, size, form)
    assert grid.mean.shape == grid.bias.shape == (3, 3, 3)
    assert grid.variance.shape == grid.second_moment.shape == (3, 3)
    for i, j in itertools.product(range(3), range(3)):
        cell = moments(example, float(q[i, 0]), int(size[j]), form)
        for name in ("mean", "bias", "variance", "second_moment"):
            ours = getattr(grid, name)[i, j]
            np.testing.assert_allclose(ours, getattr(cell, name), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", REWARDS)
@pytest.mark.parametrize(
    "log_w", [(-1.2, -0.3, -4.0), (0.0, -np.inf, -2.0), (-20.0, -18.0, -30.0), (-1e-3, -1e-4, -2e-3)]
)
@pytest.mark.parametrize("centred", [True, False])
def test_reward_estimators_over_all_pools(name: str, log_w: tuple[float, ...], centred: bool):
    """Over every pool of (rationale, right or wrong), by the estimators' own functions."""
    example = task((0.3, 0.5, 0.2), log_w)
    if not centred:
        example = FiniteTask(example.log_prior, example.log_w, example.prior_score + 0.3, example.answer_score)
    prior, w, miss = np.exp(example.log_prior), np.exp(example.log_w), -np.expm1(example.log_w)
    wrong = example.prior_score - (w / np.where(miss > 0, miss, 1))[:, None] * example.answer_score
    scores = np.concatenate([example.prior_score + example.answer_score, wrong])
    share, reward = np.concatenate([prior * w, prior * miss]), np.repeat([1.0, 0.0], 3)
    for size in (1, 2, 4):
        pools = np.array(list(itertools.product(range(6), repeat=size)))
        probability = share[pools].prod(-1)
        values = -np.einsum("nm,nmd->nd", REWARDS[name](reward[pools]).answer, scores[pools]) / size
        mean = probability @ values
        for q in (0.0, 0.6, 1.0):
            ours, rounding = moments(example, q, size, name), 1e-14 * float(np.linalg.norm(example.gradient(q)))
            np.testing.assert_allclose(ours.mean, mean, rtol=1e-12, atol=rounding)
            np.testing.assert_allclose(ours.bias, mean - example.gradient(q), rtol=1e-12, atol=10 * rounding)
            variance = probability @ np.sum((values - mean) ** 2, -1)
            assert ours.variance == pytest.approx(variance, rel=1e-11, abs=1e-30)
            assert ours.second_moment == pytest.approx(variance + mean @ mean, rel=1e-11, abs=1e-30)


def test_reward_estimators_in_large_pools():
    """MaxRL's and Dr. GRPO's factors in closed form, with nothing subtracted."""
    example = task((1e-6, 1 - 1e-6), (0.0, -np.inf))
    p, size = 1e-6, 10**6
    maxrl = moments(example, 1.0, size, "maxrl")
    np.testing.assert_allclose(maxrl.bias, example.score * math.exp((size - 1) * math.log1p(-p)), rtol=1e-9)
    np.testing.assert_allclose(maxrl.mean, example.gradient(1.0) * -math.expm1((size - 1) * math.log1p(-p)), rtol=1e-12)
    centred = moments(example, 0.0, size, "dr_grpo")
    np.testing.assert_allclose(centred.bias, -example.gradient(0.0) / size, rtol=1e-12)
    assert np.all(moments(example, 0.0, size, "reward_rloo").bias == 0)


@pytest.mark.parametrize("form", ["plugin", "rloo", "paft"])
@pytest.mark.parametrize("q", [0.3, 1.0])
def test_the_estimators_that_train_have_these_moments(form: str, q: float):
    """z-scores of 20,000 pools of eight draws, through qtheory.estimators."""
    rng = np.random.default_rng(11)
    example, size = random_task(rng, 6, 3), 8
    index = rng.choice(6, size=(POOLS, size), p=np.exp(example.log_prior))
    log_w = example.log_w[index]
    if form == "paft":
        coefficients = estimators.paft(log_w, q, k=4, rng=rng)
    else:
        coefficients = estimators.garl(log_w, q, baseline="loo" if form == "rloo" else "none")
    values = estimates(example, index, coefficients)
    exact = moments(example, q, size, form, K=4 if form == "paft" else None)
    error = values.std(0) / math.sqrt(POOLS)
    assert np.abs((values.mean(0) - exact.mean) / error).max() < 4
    squares = np.sum((values - exact.mean) ** 2, -1)
    assert abs(squares.mean() - exact.variance) / (squares.std() / math.sqrt(POOLS)) < 4


def test_weights_beyond_the_floats():
    """A weight of e^-9000 counts in full at q = 1, in pools that hold nothing else."""
    example, size = task((0.4, 0.6), (0.0, -9000.0)), 3
    scores = example.prior_score + example.answer_score
    rare = 0.6**size
    mean = -(1 - rare) * scores[0] - rare * scores[1]
    for form in ("plugin", "paft"):
        ours = moments(example, 1.0, size, form)
        np.testing.assert_allclose(ours.mean, mean, rtol=1e-11)
        np.testing.assert_allclose(ours.bias, rare * (scores[0] - scores[1]), rtol=1e-11)
        assert ours.variance == pytest.approx(rare * (1 - rare) * np.sum((scores[0] - scores[1]) ** 2), rel=1e-10)


class TestRefusals:
    example = task((0.3, 0.5, 0.2), (-1.0, -2.0, -3.0))

    def test_an_unknown_form_names_the_nearest(self):
        with pytest.raises(ValueError, match="did you mean 'plugin'"):
            moments(self.example, 0.5, 4, "plugn")
        with pytest.raises(ValueError, match="valid are: plugin, rloo"):
            moments(self.example, 0.5, 4, "zzz")

    @pytest.mark.parametrize("q", [-0.1, 1.1, math.nan])
    def test_q_outside_the_continuum(self, q: float):
        with pytest.raises(ValueError, match=r"q must lie in \[0, 1\]"):
            moments(self.example, q, 4)

    def test_types(self):
        with pytest.raises(TypeError, match="q is 'a'"):
            moments(self.example, "a", 4)
        with pytest.raises(TypeError, match=r"M is 2\.0"):
            moments(self.example, 0.5, 2.0)
        with pytest.raises(TypeError, match="K is True"):
            moments(self.example, 0.5, 2, "paft", K=True)

    def test_sizes(self):
        with pytest.raises(ValueError, match=r"M\[1\] is 0"):
            moments(self.example, 0.5, np.array([1, 0]))
        with pytest.raises(ValueError, match="only 'paft' resamples"):
            moments(self.example, 0.5, 2, K=3)
        with pytest.raises(ValueError, match="must broadcast"):
            moments(self.example, np.array([0.1, 0.2]), np.array([1, 2, 3]))

    def test_tasks(self):
        impossible = task((0.5, 0.5), (-np.inf, -np.inf))
        for form in FORMS:
            with pytest.raises(ValueError, match="P = 0"):
                moments(impossible, 0.5, 2, form)
        ones = np.ones((3, 3))
        lopsided = FiniteTask(self.example.log_prior, self.example.log_w, ones, ones)
        with pytest.raises(ValueError, match=r"Prop 6\.2"):
            moments(lopsided, 0.5, 2, "rloo")
        with pytest.raises(ValueError, match="within 1e300"):
            moments(task((0.5, 0.5), (0.0, -800.0)), 0.5, 2, "rloo")
        certain = FiniteTask(np.log([0.5, 0.5]), np.array([0.0, -1.0]), np.zeros((2, 1)), np.ones((2, 1)))
        with pytest.raises(ValueError, match=r"answer_score\[0\] is not 0"):
            moments(certain, 0.5, 2, "grpo")

    def test_an_empty_grid_is_empty(self):
        for form in FORMS:
            assert moments(self.example, np.zeros(0), 4, form).mean.shape == (0, 3)
