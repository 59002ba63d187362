"""Moments of an estimator on a finite task by simulation, through the code that trains models.

It does what a training step does, on a task small enough to be known exactly: rationales are drawn from the prior,
answers are drawn if the estimator reads rewards, and `qtheory.estimators` gives the coefficients.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qtheory._arrays import shown
from qtheory._numbers import count
from qtheory.command.names import did_you_mean
from qtheory.estimators import Coefficients, Estimator, get
from qtheory.estimators.checks import generator
from qtheory.models.finite import FiniteTask

_CELLS = 2**20  # samples, and entries of the pools' sums by rationale, that are in memory at once
_BLOCK = 2**22  # numbers in a block of estimates (N, d); all are centred by the first block's mean


@dataclass(frozen=True, eq=False)
class SampledMoments:
    """Moments of a gradient estimate g (d,) over simulated pools, with standard errors.

    Attributes:
        mean: (d,) mean of g.
        mean_error: (d,) standard error of the mean.
        variance: tr Cov g, unbiased.
        variance_error: Standard error of the variance.
        second_moment: E ||g||^2.
        second_moment_error: Standard error of the second moment.
        draws: The number of pools.
    """

    mean: np.ndarray
    mean_error: np.ndarray
    variance: float
    variance_error: float
    second_moment: float
    second_moment_error: float
    draws: int


def simulate(
    task: FiniteTask,
    estimator: str | Estimator | Callable[..., Coefficients],
    params: Mapping[str, Any],
    samples: int,
    draws: int,
    rng: np.random.Generator,
) -> SampledMoments:
    """Estimate the moments of an estimator's gradient of the loss, which is to be descended.

    An estimator that needs squared scores is given the exact ||prior_score||^2; one that needs the answer's length is
    given 1, as a task's answers are one event.

    A sampled answer is right with probability w_z. The score of a wrong one is the mean over wrong answers,
    -w_z/(1 - w_z) grad log w_z. This is exact for one wrong answer; with several, the mean of g is exact, and its
    variance lacks the part that sampling among the wrong answers adds.

    Standard errors are those of sample means; that of the variance neglects the error of the mean from which deviations
    are taken, which is correct to first order. An estimate whose square underflows counts as 0 in both second moments.

    Args:
        task: The task.
        estimator: A registered name, a specification, or a function from log-weights (N, M) and `params` to
            coefficients.
        params: Keyword parameters of the estimator, such as {"q": 0.5}; neither rng nor score_norm_sq.
        samples: M, at least 1.
        draws: The number of pools, at least 2.
        rng: Source of randomness.

    Returns:
        The moments. Memory does not grow with the number of draws.

    Raises:
        TypeError: samples or draws no integer, rng no Generator, task no FiniteTask, estimator neither a name nor a
            specification nor a function, params no mapping, or as the estimator.
        ValueError: An unknown estimator or parameter, a required one missing, samples or draws too few, or as
            the estimator.
    """
    if not isinstance(task, FiniteTask):
        raise TypeError(f"task is {shown(task)}, a {type(task).__name__}: pass a qtheory.models.FiniteTask")
    if not (isinstance(estimator, Estimator) or callable(estimator)):
        estimator = get(estimator)
    if not isinstance(params, Mapping):
        raise TypeError(f"params is {shown(params)}, a {type(params).__name__}: pass a mapping such as {{'q': 0.5}}")
    samples, draws, rng = count("samples", samples, 1), count("draws", draws, 2), generator(rng)
    if isinstance(estimator, Estimator):
        _check_params(estimator, params)
    sums = _Sums()
    batch = max(1, _CELLS // max(samples, len(task.log_prior)))
    for block in _split(draws, max(2, _BLOCK // task.prior_score.shape[1])):
        pools = (_rationales(task, (size, samples), rng) for size in _split(block, batch))
        sums.add(np.concatenate([_estimates(task, estimator, params, pool, rng) for pool in pools]))
    return sums.moments()


def _split(total: int, largest: int) -> list[int]:
    """Split a total into blocks of the largest size and a remainder."""
    return [min(largest, total - done) for done in range(0, total, largest)]


def _rationales(task: FiniteTask, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Indices (N, M) drawn from the prior by inverse CDF."""
    cumulative = np.cumsum(np.exp(task.log_prior))
    return np.searchsorted(cumulative, rng.random(shape) * cumulative[-1], side="right")


def _estimates(
    task: FiniteTask,
    estimator: Estimator | Callable[..., Coefficients],
    params: Mapping[str, Any],
    rationales: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Gradient estimates (N, d) of pools of rationales (N, M)."""
    log_w = task.log_w[rationales]
    if not isinstance(estimator, Estimator):
        rationale, answer = estimator(log_w, **params)
    elif estimator.inputs == "log_w":
        extra: dict[str, Any] = {"rng": rng} if estimator.stochastic else {}
        if estimator.needs_score_norm:
            extra["score_norm_sq"] = np.sum(task.prior_score**2, axis=-1)[rationales]
        if estimator.needs_answer_length:
            extra["answer_length"] = 1
        rationale, answer = estimator.function(log_w, **params, **extra)
    else:
        right = rng.random(log_w.shape) < np.exp(log_w)
        rationale, answer = estimator.function(right.astype(np.float64), **params)
        answer = np.where(right, answer, answer * _wrong_factor(task.log_w)[rationales])
    tallies = (_tally(coefficients, rationales, len(task.log_prior)) for coefficients in (rationale, answer))
    on_prior, on_answer = tallies
    return -(on_prior @ task.prior_score + on_answer @ task.answer_score) / rationales.shape[1]


def _wrong_factor(log_w: np.ndarray) -> np.ndarray:
    """(Z,) the mean score of wrong answers over grad log w; it follows as all answers' scores have mean 0."""
    unsure = log_w < 0
    return np.where(unsure, np.exp(log_w) / np.where(unsure, np.expm1(log_w), 1.0), 0.0)


def _tally(coefficients: np.ndarray, rationales: np.ndarray, size: int) -> np.ndarray:
    """Sums (N, Z) of coefficients (N, M) by rationale."""
    pools = len(rationales)
    cells = rationales + np.arange(pools)[:, None] * size
    return np.bincount(cells.ravel(), weights=coefficients.ravel(), minlength=pools * size).reshape(pools, size)


def _check_params(estimator: Estimator, params: Mapping[str, Any]) -> None:
    known = estimator.parameters
    for name in params:
        if name not in known:
            hint = did_you_mean(str(name), known or ["none"])
            raise ValueError(f"{estimator.name} has no parameter {name!r}; {hint}")
    missing = [name for name, parameter in known.items() if parameter.required and name not in params]
    if missing:
        raise ValueError(f"{estimator.name} needs a value for its parameter {missing[0]!r}: add it to params")


class _Sums:
    """Sums over pools that give the moments, centred by the first block's mean to avoid cancellation."""

    def __init__(self) -> None:
        self.draws = 0
        self.centre = self.first = self.squares = np.zeros(())  # the centre, and sums (d,) of g - centre, squared too
        self.deviation = np.zeros(2)  # of ||g - centre||^2 and of its square
        self.norm = np.zeros(2)  # of ||g||^2 and of its square

    def add(self, estimates: np.ndarray) -> None:
        """Add estimates (N, d)."""
        if not self.draws:
            self.centre = estimates.mean(0)
        shifted = estimates - self.centre
        self.draws += len(estimates)
        self.first = self.first + shifted.sum(0)
        self.squares = self.squares + (shifted**2).sum(0)
        for sums, values in ((self.deviation, (shifted**2).sum(1)), (self.norm, (estimates**2).sum(1))):
            sums += np.array([values.sum(), (values**2).sum()])

    def moments(self) -> SampledMoments:
        """Means, unbiased variances and their standard errors."""
        draws = self.draws
        shift = self.first / draws
        variances = np.maximum(self.squares / draws - shift**2, 0.0) * draws / (draws - 1)
        return SampledMoments(
            mean=self.centre + shift,
            mean_error=np.sqrt(variances / draws),
            variance=float(variances.sum()),
            variance_error=self._error_of_mean(self.deviation),
            second_moment=float(self.norm[0] / draws),
            second_moment_error=self._error_of_mean(self.norm),
            draws=draws,
        )

    def _error_of_mean(self, sums: np.ndarray) -> float:
        mean, square = sums / self.draws
        return float(np.sqrt(max(square - mean**2, 0.0) / (self.draws - 1)))
