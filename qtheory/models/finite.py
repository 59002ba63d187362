"""A finite task: all inputs of the estimators' moments, at one point in parameter space."""

import functools
from dataclasses import dataclass

import numpy as np

from qtheory._arrays import refuse
from qtheory.models.checks import float_array, log_distribution, log_weights
from qtheory.models.numerics import log_mean, posterior
from qtheory.tsallis import attenuation_from_log


@dataclass(frozen=True, eq=False)
class FiniteTask:
    """One example with Z rationales and d parameters; the arrays are stored as read-only copies.

    Every model's task has E[prior_score] = 0, a task built by hand need not; without it the leave-one-out baseline is
    biased (Prop 6.2).

    Attributes:
        log_prior: (Z,) log p(z|x) in nats, finite, normalised to 1e-12.
        log_w: (Z,) log p(y*|x, z) in nats, at most 0; -inf for an impossible answer.
        prior_score: (Z, d) grad log p(z|x), finite.
        answer_score: (Z, d) grad log p(y*|x, z), finite; if log_w is -inf its value is ignored.

    Raises:
        TypeError: An array is no numpy array of float64.
        ValueError: Shapes do not fit, the prior is not normalised, a log_w is positive or NaN, a score is not
            finite.
    """

    log_prior: np.ndarray
    log_w: np.ndarray
    prior_score: np.ndarray
    answer_score: np.ndarray

    def __post_init__(self) -> None:
        checked = {
            "log_prior": log_distribution("log_prior", self.log_prior),
            "log_w": log_weights("log_w", self.log_w),
            "prior_score": float_array("prior_score", self.prior_score, ("Z", "d")),
            "answer_score": float_array("answer_score", self.answer_score, ("Z", "d")),
        }
        size, dimension = len(checked["log_prior"]), checked["prior_score"].shape[1]
        shapes = {"log_w": (size,), "prior_score": (size, dimension), "answer_score": (size, dimension)}
        for name, shape in shapes.items():
            if checked[name].shape != shape:
                raise ValueError(f"{name} has shape {checked[name].shape}: {shape} is needed")
        for name in ("prior_score", "answer_score"):
            refuse(np, name, checked[name], ~np.isfinite(checked[name]), "a score must be finite")
        for name, array in checked.items():
            object.__setattr__(self, name, array)

    @functools.cached_property
    def log_p(self) -> float:
        """Log P in nats, P = sum_z p(z|x) p(y*|x, z); -inf if every answer is impossible."""
        return float(log_mean(self.log_prior, self.log_w))

    @functools.cached_property
    def posterior(self) -> np.ndarray:
        """(Z,) p(z|x, y*).

        Raises:
            ValueError: P = 0, which has no posterior and no score.
        """
        if self.log_p == -np.inf:
            raise ValueError("every log_w is -inf: give one a finite value, as P = 0 has no posterior and no score")
        return posterior(self.log_prior, self.log_w)

    @functools.cached_property
    def score(self) -> np.ndarray:
        """(d,) s = grad log P, the posterior mean of the joint scores; errors as `posterior`."""
        return self.posterior @ (self.prior_score + self.answer_score)

    def gradient(self, q: float) -> np.ndarray:
        """The true gradient of l_q = -log_q P (Prop 4.1).

        Args:
            q: In [0, 1].

        Returns:
            (d,) -P^(1-q) s.

        Raises:
            TypeError: q is no number.
            ValueError: q outside [0, 1] or NaN, or P = 0.
        """
        return -attenuation_from_log(self.log_p, q) * self.score
