"""The K-arm softmax: one logit per answer and no latents."""

from dataclasses import dataclass

import numpy as np

from qtheory._numbers import count
from qtheory.models.checks import index, log_success, parameters
from qtheory.models.model import Model
from qtheory.models.numerics import log_softmax, logit


@dataclass(frozen=True)
class SoftmaxArms(Model):
    """P = softmax(theta)_target.

    Attributes:
        arms: K, at least 2.
        target: The index of y*, below K.

    Raises:
        TypeError: An argument is not an integer.
        ValueError: K < 2, or the target is not an arm.
    """

    arms: int
    target: int = 0

    def __post_init__(self) -> None:
        index("target", self.target, count("arms", self.arms, 2))

    @property
    def dimension(self) -> int:
        """K logits."""
        return self.arms

    def log_p(self, theta: np.ndarray) -> np.ndarray:
        """Log P in nats, (...,), of logits (..., K)."""
        return log_softmax(parameters(theta, self.arms))[..., self.target]

    def score(self, theta: np.ndarray) -> np.ndarray:
        """The score e_target - softmax(theta), (..., K)."""
        log_probability = log_softmax(parameters(theta, self.arms))
        score = -np.exp(log_probability)
        score[..., self.target] = -np.expm1(log_probability[..., self.target])
        return score

    def start(self, log_p0: float | np.ndarray) -> np.ndarray:
        """Logits (..., K) with log P = log_p0 (...,) in nats, those of the other arms 0.

        Raises:
            TypeError: log_p0 is no number and no array of float64.
            ValueError: log_p0 at or above 0, -inf or NaN.
        """
        odds = logit(log_success(log_p0)) + np.log(self.arms - 1)
        return np.where(np.arange(self.arms) == self.target, odds[..., None], 0.0)
