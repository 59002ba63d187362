"""Estimators on 0/1 rewards of sampled answers at finite M, by sums over the number of right answers.

Given R right answers of M, the joint scores of right and wrong samples are independent draws from two laws, so that
the estimate -(1/M) sum_m c_m grad log p(z_m, y_m|x) needs only their two means and two traces. Answers are only
distinguished as right or wrong: by E[score] = 0 a wrong answer's score is -(w/(1-w)) grad log p(y*|x, z).
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from qtheory.exact.binomial import binomial
from qtheory.models.finite import FiniteTask

Count = np.ndarray
_ROUNDING = 1e-13


class Reward(NamedTuple):
    """An estimator as a function of the pool.

    Attributes:
        coefficients: Maps R (N,) and M to the coefficients (N,) of a right and of a wrong answer; if R is 0 or M, the
            coefficient of the missing kind of answer is finite and unused.
        target: The q whose loss its mean descends, apart from `gap`; None if there is no such loss.
        gap: Maps P, log(1 - P) and M to P^-target less the factor of grad J_0 in the mean.
        centred: Whether the coefficients sum to 0 in every pool.
    """

    coefficients: Callable[[Count, int], tuple[Count, Count]]
    target: float | None
    gap: Callable[[float, float, int], float]
    centred: bool


class RewardMoments(NamedTuple):
    """Moments at one (q, M): mean (d,), bias (d,) against grad l_q, and the second moment and the variance."""

    mean: np.ndarray
    bias: np.ndarray
    second: float
    variance: float


def _grpo(right: Count, size: int) -> tuple[Count, Count]:
    wrong = size - right
    mixed = (right > 0) & (wrong > 0)
    ratio = np.sqrt(np.where(mixed, wrong, 0.0) / np.where(mixed, right, 1.0))
    return ratio, -np.where(mixed, 1 / np.where(mixed, ratio, 1.0), 0.0)


def _dr_grpo(right: Count, size: int) -> tuple[Count, Count]:
    return (size - right) / size, -right / size


def _rloo(right: Count, size: int) -> tuple[Count, Count]:
    return (size - right) / (size - 1), -right / (size - 1)


def _maxrl(right: Count, size: int) -> tuple[Count, Count]:
    return np.where(right > 0, (size - right) / np.maximum(right, 1.0), 0.0), -np.where(right > 0, 1.0, 0.0)


def _star(right: Count, _size: int) -> tuple[Count, Count]:
    return np.full_like(right, 1.0), np.zeros_like(right)


_STAR = Reward(_star, 0.0, lambda _p, _log_wrong, _size: 0.0, centred=False)
REWARDS: Mapping[str, Reward] = MappingProxyType(
    {
        "grpo": Reward(_grpo, None, lambda _p, _log_wrong, _size: 0.0, centred=True),
        "dr_grpo": Reward(_dr_grpo, 0.0, lambda _p, _log_wrong, size: 1 / size, centred=True),
        "reward_rloo": Reward(_rloo, 0.0, lambda _p, _log_wrong, _size: 0.0, centred=True),
        "maxrl": Reward(_maxrl, 1.0, lambda p, log_wrong, size: np.exp((size - 1) * log_wrong) / p, centred=True),
        "star": _STAR,
    }
)


class _Scores(NamedTuple):
    """Mean joint scores (d,) and traces of covariances of right and of wrong samples, and E[h] (d,) over all."""

    right: np.ndarray
    right_trace: float
    wrong: np.ndarray
    wrong_trace: float
    prior: np.ndarray


def reward_moments(task: FiniteTask, name: str, q: float, size: int) -> RewardMoments:
    """Moments of a reward estimator.

    Args:
        task: The task.
        name: A key of `REWARDS`.
        q: In [0, 1], the loss whose gradient the bias is relative to.
        size: M, at least 1.

    Returns:
        The moments.

    Raises:
        ValueError: P = 0, or a certain answer has a score.
    """
    reward = REWARDS[name] if name != "reward_rloo" or size > 1 else _STAR  # a single draw has no baseline
    prior = np.exp(task.log_prior)
    prior /= prior.sum()
    p, wrong_share = float(np.exp(task.log_p)), float(prior @ -np.expm1(task.log_w))
    scores = _scores(task, prior, wrong_share)
    if wrong_share > 0:
        right, mass = binomial(size, p / wrong_share)
    else:
        right, mass = np.array([float(size)]), np.ones(1)
    own, other = reward.coefficients(right, size)
    weight, other_weight = own * right / size, other * (size - right) / size
    average, other_average = mass @ weight, mass @ other_weight
    mean = -(average * scores.right + other_average * scores.wrong)
    variance = mass @ (own**2 * right * scores.right_trace + other**2 * (size - right) * scores.wrong_trace) / size**2
    # The mean given R is -(weight (right - wrong) + total wrong), and total is 0 in every pool if they are centred.
    step, total = weight - average, (weight + other_weight) - (average + other_average)
    contrast = scores.right - scores.wrong
    variance += (mass @ step**2) * (contrast @ contrast) + (mass @ total**2) * (scores.wrong @ scores.wrong)
    variance += 2 * (mass @ (step * total)) * (contrast @ scores.wrong)
    bias = _bias(p, reward, scores, wrong_share, size) if q == reward.target else mean - task.gradient(q)
    return RewardMoments(mean, bias, float(variance + mean @ mean), float(variance))


def _bias(p: float, reward: Reward, scores: _Scores, wrong_share: float, size: int) -> np.ndarray:
    """(d,) mean less the gradient of the target's loss, from the closed form of its factor and not as a difference."""
    log_wrong = float(np.log1p(-p) if p < 0.5 else np.log(max(wrong_share, 1e-300)))
    # A centred estimator's baseline subtracts E[h] from the score.
    offset = scores.prior * reward.centred
    lost = offset if reward.target == 1 else p * offset
    return lost + p * reward.gap(p, log_wrong, size) * (scores.right - offset)


def _scores(task: FiniteTask, prior: np.ndarray, wrong_share: float) -> _Scores:
    w, miss = np.exp(task.log_w), -np.expm1(task.log_w)
    certain = (miss == 0) & np.any(task.answer_score != 0, -1)
    if np.any(certain):
        z = int(np.argmax(certain))
        raise ValueError(
            f"answer_score[{z}] is not 0 though log_w[{z}] is {task.log_w[z]}: a certain answer's score must be 0, or "
            "its wrong answers' scores would have infinite variance"
        )
    joint = task.prior_score + task.answer_score
    score = task.score
    right_trace = float(task.posterior @ np.sum((joint - score) ** 2, -1))
    mean_prior = prior @ task.prior_score
    # For a model's scores E[h] is 0 to rounding.
    mean_prior[np.abs(mean_prior) < _ROUNDING * np.abs(task.prior_score).max()] = 0.0
    if wrong_share == 0:
        return _Scores(score, right_trace, np.zeros_like(score), 0.0, mean_prior)
    share = prior * miss / wrong_share
    other = task.prior_score - (w / np.where(miss > 0, miss, 1.0))[:, None] * task.answer_score
    wrong = share @ other
    return _Scores(score, right_trace, wrong, float(share @ np.sum((other - wrong) ** 2, -1)), mean_prior)
