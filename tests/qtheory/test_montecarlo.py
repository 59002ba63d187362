"""Simulated moments of every registered estimator against enumeration from the definitions."""

import itertools
import math
from collections.abc import Iterator

import mp_reference as mp
import numpy as np
import pytest
from estimator_cases import CASES, REFERENCES, Case

from qtheory import montecarlo
from qtheory.estimators import ESTIMATORS, Coefficients
from qtheory.models import FixedAnswers, SigmoidAnswers, SoftmaxAnswers
from qtheory.montecarlo import simulate

SAMPLES, DRAWS = 3, 20_000
MODEL = SigmoidAnswers(2)
THETA = np.array([0.4, -0.5, 1.1, -1.6])
SUPPORT = MODEL.rationales
PRIOR = np.exp(THETA[:2]) / np.exp(THETA[:2]).sum()
W = 1 / (1 + np.exp(-THETA[2:]))
# Gradients of log p(z|x), log p(right|z) and log p(wrong|z) in prior logits and answer logits, by hand.
PRIOR_SCORE = np.hstack([np.eye(2) - PRIOR, np.zeros((2, 2))])
RIGHT_SCORE = np.hstack([np.zeros((2, 2)), np.diag(1 - W)])
WRONG_SCORE = np.hstack([np.zeros((2, 2)), np.diag(-W)])

Outcome = tuple[float, list[float], list[float], tuple[int, ...], tuple[bool, ...]]


def outcomes(case: Case) -> Iterator[Outcome]:
    """Everything that can happen: probability, coefficients on rationales and answers, rationales, answers right."""
    for pool in itertools.product(range(SUPPORT), repeat=SAMPLES):
        chance, log_w = float(np.prod(PRIOR[list(pool)])), np.log(W[list(pool)]).tolist()
        gold = (True,) * SAMPLES
        if case.estimator.inputs == "reward":
            for right in itertools.product((True, False), repeat=SAMPLES):
                answered = math.prod(W[z] if r else 1 - W[z] for z, r in zip(pool, right, strict=True))
                terms = REFERENCES[case.estimator.name]([float(r) for r in right], None, **case.params)
                yield chance * answered, terms.rationale, terms.answer, pool, right
        elif case.estimator.stochastic:
            q = case.params.get("q", 1.0)
            share = W[list(pool)] / W[list(pool)].sum()
            drawn = case.params["k"] or SAMPLES
            for picks in itertools.product(range(SAMPLES), repeat=drawn):
                values = mp.paft(log_w, q, [picks.count(m) for m in range(SAMPLES)])
                divisor = SAMPLES**q if case.params.get("normalize") else 1
                coefficients = [float(v) / divisor for v in values]
                yield chance * float(np.prod(share[list(picks)])), coefficients, coefficients, pool, gold
        else:
            norms = (PRIOR_SCORE**2).sum(-1)[list(pool)].tolist()
            given = {"norms": norms} if case.estimator.needs_score_norm else {}
            given |= {"length": 1} if case.estimator.needs_answer_length else {}
            terms = REFERENCES[case.estimator.name](log_w, None, **case.params, **given)
            yield chance, terms.rationale, terms.answer, pool, gold


def enumerate_moments(case: Case) -> tuple[np.ndarray, float, float]:
    """Mean (d,), variance and second moment of the gradient estimate."""
    mean, second, total = np.zeros(len(THETA)), 0.0, 0.0
    for chance, rationale, answer, pool, right in outcomes(case):
        estimate = np.zeros(len(THETA))
        for c, a, z, r in zip(rationale, answer, pool, right, strict=True):
            estimate -= (float(c) * PRIOR_SCORE[z] + float(a) * (RIGHT_SCORE if r else WRONG_SCORE)[z]) / SAMPLES
        mean += chance * estimate
        second += chance * float(estimate @ estimate)
        total += chance
    assert total == pytest.approx(1, rel=1e-12)
    return mean, second - float(mean @ mean), second


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_registered_estimator_has_its_enumerated_moments(case: Case):
    simulated = simulate(
        MODEL.task(THETA),
        case.estimator.name,
        case.params,
        SAMPLES,
        DRAWS,
        np.random.default_rng([5, CASES.index(case)]),
    )
    mean, variance, second_moment = enumerate_moments(case)
    # Seven numbers a case, some hundreds in all: 4.5 standard errors. A number that cannot vary has error 0.
    assert np.all(np.abs(simulated.mean - mean) <= 4.5 * simulated.mean_error + 1e-14)
    assert abs(simulated.variance - variance) <= 4.5 * simulated.variance_error + 1e-14
    assert abs(simulated.second_moment - second_moment) <= 4.5 * simulated.second_moment_error + 1e-14
    assert simulated.draws == DRAWS


def test_several_wrong_answers_leave_the_mean_of_sampling_among_them():
    """GRPO on three answers: the mean over all rationales and answers, each with its own score."""
    theta = np.array([0.3, -0.2, 0.5, -1.0, 0.2, -0.4, 0.9, 0.1])
    prior = np.exp(theta[:2]) / np.exp(theta[:2]).sum()
    table = np.exp(theta[2:].reshape(2, 3))
    table /= table.sum(1, keepdims=True)
    exact = np.zeros(8)
    for pool in itertools.product(range(2), repeat=2):
        for answers in itertools.product(range(3), repeat=2):
            chance = math.prod(prior[z] * table[z, y] for z, y in zip(pool, answers, strict=True))
            reward = [float(y == 0) for y in answers]
            advantage = [float(a) for a in mp.standardised(reward)]
            for a, z, y in zip(advantage, pool, answers, strict=True):
                score = np.zeros(8)
                score[:2] = np.eye(2)[z] - prior
                score[2 + 3 * z : 5 + 3 * z] = np.eye(3)[y] - table[z]
                exact -= chance * a * score / 2
    task = SoftmaxAnswers(2, 3).task(theta)
    simulated = simulate(task, "grpo", {}, 2, 40_000, np.random.default_rng(1))
    assert np.all(np.abs(simulated.mean - exact) <= 4 * simulated.mean_error)


def test_unbiased_estimators_find_the_gradient_on_hard_and_impossible_weights():
    task = FixedAnswers(np.array([0.0, -np.inf, -np.inf])).task(np.log([0.2, 0.5, 0.3]))
    for name in ("rb_rloo", "rloo", "star"):
        simulated = simulate(task, name, {}, 8, 20_000, np.random.default_rng(2))
        assert np.all(np.abs(simulated.mean - task.gradient(0.0)) <= 4 * simulated.mean_error)


def test_standard_errors_are_those_of_repetitions():
    task, rng = MODEL.task(THETA), np.random.default_rng(3)
    runs = [simulate(task, "garl", {"q": 0.75}, 4, 400, rng) for _ in range(400)]
    for value, error in (
        ("mean", "mean_error"),
        ("variance", "variance_error"),
        ("second_moment", "second_moment_error"),
    ):
        values, errors = (np.array([getattr(run, name) for run in runs]) for name in (value, error))
        # 400 repetitions know a standard deviation to 4% and more.
        np.testing.assert_allclose(values.std(0, ddof=1), np.sqrt((errors**2).mean(0)), rtol=0.15)


def test_few_draws_have_the_sample_s_variance():
    """Of the estimates themselves, made anew from the pools that were drawn: over N - 1, not over N."""
    model = FixedAnswers(np.log([0.9, 0.4, 0.1]))
    task, drawn = model.task(np.log([0.5, 0.3, 0.2])), []

    def weights(log_w: np.ndarray) -> Coefficients:
        drawn.append(log_w)
        return Coefficients(np.exp(log_w), np.exp(log_w))

    for pools in (2, 3, 7):
        drawn.clear()
        simulated = simulate(task, weights, {}, 4, pools, np.random.default_rng(pools))
        [log_w] = drawn
        # Every weight is another rationale's, whose prior score is e_z - p.
        scores = np.eye(3)[np.argmin(np.abs(log_w[..., None] - model.fixed_log_w), axis=-1)] - [0.5, 0.3, 0.2]
        estimates = -np.einsum("nm,nmd->nd", np.exp(log_w), scores) / 4
        deviations = estimates - estimates.mean(0)
        assert simulated.variance == pytest.approx((deviations**2).sum() / (pools - 1), rel=1e-12)
        np.testing.assert_allclose(simulated.mean_error**2, (deviations**2).sum(0) / (pools - 1) / pools, rtol=1e-11)
        assert simulated.second_moment == pytest.approx((estimates**2).sum() / pools, rel=1e-12)


def test_blocks_and_batches_change_nothing_but_rounding(monkeypatch: pytest.MonkeyPatch):
    def run(cells: int, block: int) -> montecarlo.SampledMoments:
        monkeypatch.setattr(montecarlo, "_CELLS", cells)
        monkeypatch.setattr(montecarlo, "_BLOCK", block)
        return simulate(MODEL.task(THETA), "garl", {"q": 0.5}, 5, 3001, np.random.default_rng(4))

    whole = run(2**20, 2**22)
    for pieces in (run(2**20, 4 * 1000), run(500, 4 * 1000), run(1, 2**22)):
        for name in ("mean", "mean_error", "variance", "second_moment", "second_moment_error"):
            np.testing.assert_allclose(getattr(pieces, name), getattr(whole, name), rtol=1e-11)
        # Deviations from the first block's mean: rightly so to first order.
        np.testing.assert_allclose(pieces.variance_error, whole.variance_error, rtol=0.05)


def test_a_function_in_the_place_of_a_name():
    def half(log_w: np.ndarray, scale: float) -> Coefficients:
        return Coefficients(scale * np.exp(log_w), scale * np.exp(log_w))

    task = MODEL.task(THETA)
    by_function = simulate(task, half, {"scale": 0.5}, 4, 100, np.random.default_rng(0))
    by_name = simulate(task, "garl", {"q": 0.0, "baseline": "none"}, 4, 100, np.random.default_rng(0))
    by_specification = simulate(
        task, ESTIMATORS["garl"], {"q": 0.0, "baseline": "none"}, 4, 100, np.random.default_rng(0)
    )
    np.testing.assert_allclose(2 * by_function.mean, by_name.mean, rtol=1e-13)
    assert np.array_equal(by_specification.mean, by_name.mean)


GOOD = {"estimator": "garl", "params": {"q": 0.5}, "samples": 2, "draws": 2, "rng": np.random.default_rng(0)}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"estimator": "gral"}, ValueError, "unknown estimator 'gral'; did you mean 'garl'"),
        ({"params": {}}, ValueError, "garl needs a value for its parameter 'q'"),
        (
            {"params": {"q": 0.5, "basline": "loo"}},
            ValueError,
            "garl has no parameter 'basline'; did you mean 'baseline'",
        ),
        ({"estimator": "star"}, ValueError, "star has no parameter 'q'; valid are: none"),
        ({"params": {"q": 1.5}}, ValueError, "q is 1.5"),
        ({"samples": 0}, ValueError, "samples is 0: it must be at least 1"),
        ({"samples": 2.0}, TypeError, "samples is 2.0: pass an integer of at least 1"),
        ({"draws": 1}, ValueError, "draws is 1: it must be at least 2"),
        ({"rng": 7}, TypeError, "rng is 7: pass a numpy.random.Generator"),
    ],
)
def test_bad_input(change: dict, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        simulate(MODEL.task(THETA), **{**GOOD, **change})


def test_every_estimator_is_enumerated():
    assert {case.estimator.name for case in CASES} == set(ESTIMATORS)
