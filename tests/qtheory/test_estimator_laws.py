"""The laws that every registered estimator obeys, on numpy, torch and array-api-strict."""

import numpy as np
import pytest
from array_libraries import Library
from estimator_cases import CASES, DOMAINS, LOG_W, REWARD, Case
from mpmath import mpf

from qtheory.estimators import dr_grpo, garl, grpo, iwae, maxrl, paft, paft_from_counts, rb_rloo, rloo, trice
from qtheory.estimators.garl import Baseline

SMALLEST = np.finfo(float).smallest_normal

every_case = pytest.mark.parametrize("case", CASES, ids=str)
deterministic = pytest.mark.parametrize("case", [c for c in CASES if not c.estimator.stochastic], ids=str)
every_q = pytest.mark.parametrize("q", DOMAINS["q"])


def assert_same(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Equal up to the order of summation, in units of each pool's largest coefficient."""
    assert ours.shape == theirs.shape
    assert np.all(np.abs(ours - theirs) <= 1e-14 * np.maximum(largest(theirs), SMALLEST))


def largest(*parts: np.ndarray) -> np.ndarray:
    """(..., 1) the largest magnitude in each pool. Of both parts where reward term and baseline may cancel in one."""
    return np.max([np.max(np.abs(part), axis=-1, keepdims=True) for part in parts], axis=0)


@every_case
def test_agrees_with_mpmath(library: Library, case: Case):
    """To 1e-14 of the sizes of a coefficient's terms (below the normal numbers, of the smallest of them)."""
    coefficients = case(library.array(case.inputs))
    ours = [library.numpy(part) for part in coefficients]
    rng = np.random.default_rng(7)
    for row, pool in enumerate(case.inputs):
        terms = case.reference(pool, rng)
        for m in range(len(pool)):
            assert abs(mpf(float(ours[0][row, m])) - terms.rationale[m]) <= 1e-14 * max(terms.scale[m], SMALLEST)
            assert abs(mpf(float(ours[1][row, m])) - terms.answer[m]) <= 1e-14 * max(terms.answer_scale[m], SMALLEST)


@every_case
def test_keeps_library_dtype_and_input_and_returns_fresh_arrays(library: Library, case: Case):
    for dtype in ("float32", "float64"):
        pools = library.array(case.inputs, dtype)
        before = library.numpy(pools).copy()
        rationale, answer = case(pools)
        assert rationale.dtype == answer.dtype == pools.dtype
        assert tuple(rationale.shape) == tuple(answer.shape) == case.inputs.shape
        arrays = [library.numpy(array) for array in (pools, rationale, answer)]
        assert not any(np.shares_memory(arrays[i], arrays[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
        assert np.array_equal(arrays[0], before)


@every_case
def test_float32_is_as_accurate_as_its_digits_allow(library: Library, case: Case):
    pools = case.inputs.astype(np.float32)
    single, double = case(library.array(pools, "float32")), case(library.array(pools))
    scale = largest(*map(library.numpy, double))
    for ours, exact in zip(map(library.numpy, single), map(library.numpy, double), strict=True):
        assert np.all(np.abs(ours - exact) <= 1e-5 * np.maximum(scale, np.finfo(np.float32).smallest_normal))


@deterministic
def test_permutation_equivariance(library: Library, case: Case):
    order = np.random.default_rng(3).permutation(case.inputs.shape[-1])
    permuted = map(library.numpy, case(library.array(case.inputs[:, order])))
    plain = [library.numpy(part) for part in case(library.array(case.inputs))]
    scale = np.maximum(largest(*plain), SMALLEST)
    for ours, theirs in zip(permuted, plain, strict=True):
        assert np.all(np.abs(ours - theirs[:, order]) <= 1e-14 * scale)


@every_q
def test_permutation_equivariance_of_paft_given_the_counts(library: Library, q: float):
    rng = np.random.default_rng(3)
    order, counts = rng.permutation(LOG_W.shape[-1]), rng.integers(0, 4, LOG_W.shape)
    ours = paft_from_counts(library.array(LOG_W[:, order]), q, library.array(counts[:, order]))
    theirs = paft_from_counts(library.array(LOG_W), q, library.array(counts))
    assert_same(library.numpy(ours.answer), library.numpy(theirs.answer)[:, order])


@every_case
def test_a_batch_is_its_pools_one_by_one(library: Library, case: Case):
    rng = np.random.default_rng(11)
    batch = case(library.array(case.inputs), np.random.default_rng(11))
    stacked = case(library.array(case.inputs[None, :, None, :]), np.random.default_rng(11))
    single = [case(library.array(pool), rng) for pool in case.inputs]
    for part in (0, 1):
        whole = library.numpy(batch[part])
        assert_same(np.stack([library.numpy(one[part]) for one in single]), whole)
        assert_same(library.numpy(stacked[part])[0, :, 0], whole)


@every_case
def test_an_empty_batch(library: Library, case: Case):
    assert tuple(case(library.array(np.zeros((0, 3)))).rationale.shape) == (0, 3)


@pytest.mark.parametrize("baseline", DOMAINS["baseline"])
def test_one_q_per_pool(library: Library, baseline: Baseline):
    orders = np.linspace(0, 1, len(LOG_W))
    together = garl(library.array(LOG_W), library.array(orders), baseline=baseline, normalize=True)
    counts = library.array(np.ones_like(LOG_W))
    together_paft = paft_from_counts(library.array(LOG_W), orders, counts, normalize=True)
    for row, q in enumerate(orders):
        alone = garl(library.array(LOG_W[row]), float(q), baseline=baseline, normalize=True)
        assert_same(library.numpy(together.rationale)[row], library.numpy(alone.rationale))
        assert_same(library.numpy(together.answer)[row], library.numpy(alone.answer))
        alone = paft_from_counts(library.array(LOG_W[row]), float(q), counts[row, :], normalize=True)
        assert_same(library.numpy(together_paft.answer)[row], library.numpy(alone.answer))


def test_named_special_cases_delegate(library: Library):
    log_w, reward = library.array(LOG_W), library.array(REWARD)
    seeded = [np.random.default_rng(5) for _ in range(2)]
    pairs = [
        (rb_rloo(log_w), garl(log_w, 0.0)),
        (iwae(log_w), garl(log_w, 1.0)),
        (trice(log_w, k=4, rng=seeded[0]), paft(log_w, 1.0, k=4, rng=seeded[1])),
        (dr_grpo(reward), grpo(reward, scale_by_std=False)),
    ]
    for ours, theirs in pairs:
        for a, b in zip(ours, theirs, strict=True):
            assert np.array_equal(library.numpy(a), library.numpy(b))


def test_the_poles_by_their_own_formulas(library: Library):
    w = np.exp(LOG_W)
    others = (w.sum(-1, keepdims=True) - w) / (w.shape[-1] - 1)
    at_zero = garl(library.array(LOG_W), 0.0)
    np.testing.assert_allclose(library.numpy(at_zero.answer), w, rtol=1e-14)
    np.testing.assert_allclose(library.numpy(at_zero.rationale), w - others, rtol=1e-13, atol=1e-15)
    alive = LOG_W.max(-1) > -np.inf
    relative = np.exp(LOG_W[alive] - LOG_W[alive].max(-1, keepdims=True))
    share = relative / relative.mean(-1, keepdims=True)
    at_one = garl(library.array(LOG_W), 1.0)
    np.testing.assert_allclose(library.numpy(at_one.answer)[alive], share, rtol=1e-13, atol=1e-300)
    np.testing.assert_allclose(library.numpy(at_one.rationale)[alive], share - 1, rtol=1e-13, atol=1e-15)


def test_zero_one_weights_give_the_reward_family(library: Library):
    """With w = r in {0, 1} GARL's rationale is RLOO at q = 0, and MaxRL at q = 1 on pools with a success."""
    log_w = np.where(REWARD == 1, 0.0, -np.inf)
    np.testing.assert_allclose(
        library.numpy(garl(library.array(log_w), 0.0).rationale),
        library.numpy(rloo(library.array(REWARD))[0]),
        atol=1e-15,
    )
    success = REWARD.any(-1)
    np.testing.assert_allclose(
        library.numpy(garl(library.array(log_w), 1.0).rationale)[success],
        library.numpy(maxrl(library.array(REWARD)).rationale)[success],
        atol=1e-14,
    )


@every_q
def test_mean_answer_coefficient_is_the_mean_weight_to_the_power_one_minus_q(library: Library, q: float):
    pools = LOG_W[[0, 1, 2, 4, 5, 7, 8, 10]]  # those whose mean is a normal number
    exact = np.exp(pools).mean(-1) ** (1 - q)
    answers = [
        garl(library.array(pools), q).answer,
        paft(library.array(pools), q, rng=np.random.default_rng(2)).answer,
        paft(library.array(pools), q, k=17, rng=np.random.default_rng(2)).answer,
    ]
    for answer in answers:
        np.testing.assert_allclose(library.numpy(answer).mean(-1), exact, rtol=1e-13)


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.estimator.name in ("grpo", "dr_grpo", "rloo", "maxrl")], ids=str
)
def test_advantages_sum_to_zero(library: Library, case: Case):
    assert np.abs(library.numpy(case(library.array(REWARD)).rationale).sum(-1)).max() < 1e-14 * REWARD.shape[-1]


@every_q
def test_effective_reward_is_at_most_m_to_the_q_and_attains_it(library: Library, q: float):
    """Sec 6.1.1: attained by one certain answer among impossible ones."""
    size = LOG_W.shape[-1]
    assert library.numpy(garl(library.array(LOG_W), q).answer).max() <= size**q * (1 + 1e-15)
    lone = library.array([0.0] + [-np.inf] * (size - 1))
    np.testing.assert_allclose(library.numpy(garl(lone, q).answer)[0], size**q, rtol=1e-15)
    np.testing.assert_allclose(library.numpy(garl(lone, q, normalize=True).answer)[0], 1, rtol=1e-15)


@every_q
def test_impossible_pools(library: Library, q: float):
    """No reward; the baseline keeps its formula with 0^0 = 1, so that Prop 6.2 holds at q = 1 too."""
    dead = library.array([[-np.inf] * 4])
    coefficients = garl(dead, q)
    assert np.all(library.numpy(coefficients.answer) == 0)
    assert np.all(library.numpy(coefficients.rationale) == (-1 if q == 1 else 0))
    assert np.all(library.numpy(garl(dead, q, baseline="none").rationale) == 0)
    assert np.all(library.numpy(paft(dead, q, rng=np.random.default_rng(0)).rationale) == 0)


@every_q
def test_a_pool_of_one_has_no_baseline(library: Library, q: float):
    """What is left is the reward term w^(1-q), 0 for an impossible answer."""
    for log_w in (0.0, -2.0, -1000.0, -np.inf):
        expected = np.exp((1 - q) * log_w) if log_w > -np.inf else 0
        for part in garl(library.array([log_w]), q):
            np.testing.assert_allclose(library.numpy(part), [expected], rtol=1e-13)


def test_reward_pools_of_one(library: Library):
    for reward in (0.0, 1.0):
        pool = library.array([reward])
        assert [library.numpy(f(pool).answer).item() for f in (grpo, dr_grpo, maxrl)] == [0, 0, 0]
        assert library.numpy(rloo(pool).answer).item() == reward


def test_grpo_takes_real_rewards_and_has_no_rounding_noise_on_equal_ones(library: Library):
    equal = library.array(np.full((1, 7), 0.1))
    assert np.all(library.numpy(grpo(equal).answer) == 0)
    tiny = maxrl(library.array([5e-324, 5e-324, 0.0]))
    np.testing.assert_allclose(library.numpy(tiny.answer), [0.5, 0.5, -1], rtol=1e-15)
    rewards = np.random.default_rng(0).normal(size=(5, 9))
    expected = (rewards - rewards.mean(-1, keepdims=True)) / rewards.std(-1, keepdims=True)
    np.testing.assert_allclose(library.numpy(grpo(library.array(rewards)).answer), expected, rtol=1e-12)
