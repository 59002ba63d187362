"""Noisy labels: one question whose right label is flipped at a fixed rate (Prop C.2)."""

from dataclasses import dataclass

import numpy as np

from qtheory.models.examples import Examples
from qtheory.models.model import Model
from qtheory.models.numerics import log_complement


@dataclass(frozen=True, eq=False)
class NoisyLabels(Examples):
    """Two labels: the right one has probability P, the wrong one the contamination n = 1 - P.

    The data have the wrong label with probability e. J_q = (1-e) l_q(P) + e l_q(n).

    Attributes:
        model: The model of the right label.
        flip_rate: e in [0, 1].

    Raises:
        ValueError: e outside [0, 1] or NaN.
    """

    model: Model
    flip_rate: float

    def __post_init__(self) -> None:
        if not 0 <= self.flip_rate <= 1:
            raise ValueError(f"flip_rate is {self.flip_rate}: it must lie in [0, 1]")

    @property
    def dimension(self) -> int:
        """The model's d."""
        return self.model.dimension

    @property
    def weights(self) -> np.ndarray:
        """(2,) 1 - e for the right label and e for the wrong one."""
        return np.array([1 - self.flip_rate, self.flip_rate])

    def log_p(self, theta: np.ndarray) -> np.ndarray:
        """Log P and log n in nats, (..., 2)."""
        log_p = self.model.log_p(theta)
        return np.stack([log_p, log_complement(log_p)], axis=-1)

    def score(self, theta: np.ndarray) -> np.ndarray:
        """The scores s and -(P/n) s of the two labels, (..., 2, d).

        Raises:
            ValueError: P rounds to 1, at which the wrong label has no score.
        """
        log_p, log_n = np.moveaxis(self.log_p(theta), -1, 0)
        if np.any(log_n == -np.inf):
            raise ValueError("P rounds to 1, where the wrong label has no score: bring theta back from the optimum")
        right = self.model.score(theta)
        return np.stack([right, -np.exp(log_p - log_n)[..., None] * right], axis=-2)
