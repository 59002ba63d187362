"""The scalar sigmoid P = sigma(theta), the model whose escape times are known in closed form (App C.1)."""

from dataclasses import dataclass

import numpy as np

from qtheory.models.checks import log_success, parameters
from qtheory.models.model import Model
from qtheory.models.numerics import log_sigmoid, logit


@dataclass(frozen=True)
class Sigmoid(Model):
    """P = 1/(1 + e^-theta) with one parameter; its score is 1 - P."""

    @property
    def dimension(self) -> int:
        """One parameter."""
        return 1

    def log_p(self, theta: np.ndarray) -> np.ndarray:
        """Log P in nats, (...,), of parameters (..., 1)."""
        return log_sigmoid(parameters(theta, 1)[..., 0])

    def score(self, theta: np.ndarray) -> np.ndarray:
        """The score 1 - P, (..., 1)."""
        return np.exp(log_sigmoid(-parameters(theta, 1)))

    def start(self, log_p0: float | np.ndarray) -> np.ndarray:
        """Parameters (..., 1) with log P = log_p0 (...,) in nats.

        Raises:
            TypeError: log_p0 is no number and no array of float64.
            ValueError: log_p0 at or above 0, -inf or NaN.
        """
        return logit(log_success(log_p0))[..., None]
