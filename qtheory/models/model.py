"""Base classes of models of one example: P, its score and gradients, and for latent models the finite task."""

from abc import ABC, abstractmethod

import numpy as np

from qtheory.models.checks import parameters
from qtheory.models.finite import FiniteTask
from qtheory.models.numerics import log_mean, posterior, posterior_less_prior
from qtheory.tsallis import attenuation_from_log


class Model(ABC):
    """The success probability P of one example as a function of parameters theta (..., d).

    Every method takes float64 arrays, is vectorised over the leading axes of theta, and raises TypeError for
    other types and ValueError for a wrong last axis or a parameter that is infinite or NaN.
    """

    @property
    @abstractmethod
    def dimension(self) -> int:
        """The number d of parameters."""

    @abstractmethod
    def log_p(self, theta: np.ndarray) -> np.ndarray:
        """Log P in nats, (...,), of parameters (..., d)."""

    @abstractmethod
    def score(self, theta: np.ndarray) -> np.ndarray:
        """The score s = grad log P, (..., d), at parameters (..., d)."""

    def p(self, theta: np.ndarray) -> np.ndarray:
        """P, (...,), of parameters (..., d)."""
        return np.exp(self.log_p(theta))

    def gradient(self, theta: np.ndarray, q: float | np.ndarray) -> np.ndarray:
        """The gradient -P^(1-q) s of the loss l_q (Prop 4.1).

        Args:
            theta: (..., d) parameters.
            q: In [0, 1]; a number or an array that broadcasts with (...,).

        Returns:
            (..., d), broadcast shape.

        Raises:
            TypeError: theta or q of a wrong type.
            ValueError: theta of a wrong shape or not finite; q outside [0, 1] or NaN.
        """
        return -np.asarray(attenuation_from_log(self.log_p(theta), q))[..., None] * self.score(theta)


class LatentModel(Model):
    """A model that draws one of Z rationales and then an answer; arguments and errors as for `Model`."""

    @abstractmethod
    def log_prior(self, theta: np.ndarray) -> np.ndarray:
        """Log p(z|x) in nats, (..., Z)."""

    @abstractmethod
    def log_w(self, theta: np.ndarray) -> np.ndarray:
        """Log p(y*|x, z) in nats, (..., Z)."""

    @abstractmethod
    def prior_score(self, theta: np.ndarray) -> np.ndarray:
        """The gradient of log p(z|x), (..., Z, d)."""

    @abstractmethod
    def answer_score(self, theta: np.ndarray) -> np.ndarray:
        """The gradient of log p(y*|x, z), (..., Z, d)."""

    def log_p(self, theta: np.ndarray) -> np.ndarray:
        """Log P in nats, (...,)."""
        return log_mean(self.log_prior(theta), self.log_w(theta))

    def score(self, theta: np.ndarray) -> np.ndarray:
        """The score s = grad log P, (..., d): the posterior mean of the rationales' joint scores."""
        log_prior, log_w = self.log_prior(theta), self.log_w(theta)
        # A model's prior scores have mean 0 under the prior, so the prior may be subtracted from the posterior.
        on_prior = np.einsum("...z,...zd->...d", posterior_less_prior(log_prior, log_w), self.prior_score(theta))
        return on_prior + np.einsum("...z,...zd->...d", posterior(log_prior, log_w), self.answer_score(theta))

    def task(self, theta: np.ndarray) -> FiniteTask:
        """The finite task at one point.

        Args:
            theta: (d,) parameters.

        Returns:
            Prior, weights and scores of the Z rationales.

        Raises:
            TypeError: theta is no numpy array of float64.
            ValueError: theta is not of shape (d,), or not finite.
        """
        theta = parameters(theta, self.dimension)
        if theta.ndim != 1:
            raise ValueError(f"theta has shape {theta.shape}: a task is of one point, ({self.dimension},)")
        return FiniteTask(self.log_prior(theta), self.log_w(theta), self.prior_score(theta), self.answer_score(theta))
