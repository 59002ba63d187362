"""Finite latent categoricals: a softmax prior over Z rationales, with fixed, independent or softmax answers."""

from dataclasses import dataclass

import numpy as np

from qtheory._arrays import refuse
from qtheory._numbers import count
from qtheory.models.checks import float_array, index, log_distribution, log_weights, parameters
from qtheory.models.model import LatentModel
from qtheory.models.numerics import log_sigmoid, log_softmax, logit, softmax_score


class SoftmaxPrior(LatentModel):
    """A latent model whose first Z parameters are the logits of p(z|x)."""

    rationales: int

    def log_prior(self, theta: np.ndarray) -> np.ndarray:
        """Log p(z|x) in nats, (..., Z), of parameters (..., d)."""
        return log_softmax(parameters(theta, self.dimension)[..., : self.rationales])

    def prior_score(self, theta: np.ndarray) -> np.ndarray:
        """Rows e_z - p of the softmax in the first Z parameters and 0 in the others, (..., Z, d)."""
        score = softmax_score(self.log_prior(theta))
        zeros = np.zeros((*score.shape[:-1], self.dimension - self.rationales))
        return np.concatenate([score, zeros], axis=-1)


@dataclass(frozen=True, eq=False)
class FixedAnswers(SoftmaxPrior):
    """Answers without parameters, as with a verifier of rationales: theta has the Z prior logits only.

    `FixedAnswers(log_w).task(log_prior)` is the task with that prior, as log-probabilities are logits.

    Attributes:
        fixed_log_w: (Z,) log p(y*|x, z) in nats, at most 0; -inf for an impossible answer, but not for all answers.

    Raises:
        TypeError: fixed_log_w is not a numpy array of float64.
        ValueError: fixed_log_w has another shape, a positive or NaN entry, or is all -inf.
    """

    fixed_log_w: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "fixed_log_w", log_weights("fixed_log_w", self.fixed_log_w))
        if self.fixed_log_w.max() == -np.inf:
            raise ValueError("fixed_log_w is -inf throughout: give one a finite value, as P = 0 has no score")
        object.__setattr__(self, "rationales", len(self.fixed_log_w))

    @property
    def dimension(self) -> int:
        """Z prior logits."""
        return len(self.fixed_log_w)

    def log_w(self, theta: np.ndarray) -> np.ndarray:
        """The fixed weights, (..., Z)."""
        return np.array(np.broadcast_to(self.fixed_log_w, parameters(theta, self.dimension).shape))

    def answer_score(self, theta: np.ndarray) -> np.ndarray:
        """Zeros, (..., Z, Z)."""
        return np.zeros((*parameters(theta, self.dimension).shape, self.dimension))


@dataclass(frozen=True)
class SigmoidAnswers(SoftmaxPrior):
    """Each rationale has a separate probability sigma of the right answer: Z prior logits, then Z answer logits.

    Attributes:
        rationales: Z, at least 1.

    Raises:
        TypeError: rationales is not an integer.
        ValueError: rationales is below 1.
    """

    rationales: int

    def __post_init__(self) -> None:
        count("rationales", self.rationales, 1)

    @property
    def dimension(self) -> int:
        """Z prior logits and Z answer logits."""
        return 2 * self.rationales

    def log_w(self, theta: np.ndarray) -> np.ndarray:
        """Log p(y*|x, z) in nats, (..., Z), of parameters (..., 2 Z)."""
        return log_sigmoid(parameters(theta, self.dimension)[..., self.rationales :])

    def answer_score(self, theta: np.ndarray) -> np.ndarray:
        """The scores 1 - w_z, each in its own parameter, (..., Z, 2 Z)."""
        complement = np.exp(log_sigmoid(-parameters(theta, self.dimension)[..., self.rationales :]))
        own = np.eye(self.rationales) * complement[..., None]
        return np.concatenate([np.zeros_like(own), own], axis=-1)

    def start(self, log_prior: np.ndarray, log_w: np.ndarray) -> np.ndarray:
        """Parameters (2 Z,) with this prior and these weights.

        Args:
            log_prior: (Z,) log p(z|x) in nats, normalised to 1e-12.
            log_w: (Z,) log p(y*|x, z) in nats, negative and finite.

        Returns:
            log_prior, then the logits of w.

        Raises:
            TypeError: An argument is no numpy array of float64.
            ValueError: An argument has another shape or is out of range.
        """
        return np.concatenate(_start(self.rationales, log_prior, log_w))


@dataclass(frozen=True)
class SoftmaxAnswers(SoftmaxPrior):
    """Each rationale draws one of K answers from a softmax: Z prior logits, then a table (Z, K) in C order.

    Attributes:
        rationales: Z, at least 1.
        answers: K, at least 2.
        target: The index of y*, below K.

    Raises:
        TypeError: An argument is not an integer.
        ValueError: Z < 1, K < 2, or the target is not an answer.
    """

    rationales: int
    answers: int
    target: int = 0

    def __post_init__(self) -> None:
        count("rationales", self.rationales, 1)
        index("target", self.target, count("answers", self.answers, 2))

    @property
    def dimension(self) -> int:
        """Z prior logits and Z K answer logits."""
        return self.rationales * (1 + self.answers)

    def log_w(self, theta: np.ndarray) -> np.ndarray:
        """Log p(y*|x, z) in nats, (..., Z), of parameters (..., d)."""
        return self._log_answers(theta)[..., self.target]

    def answer_score(self, theta: np.ndarray) -> np.ndarray:
        """Row z is e_target - p(.|x, z) in the logits of rationale z, (..., Z, d)."""
        row = softmax_score(self._log_answers(theta))[..., self.target, :]
        blocks = np.eye(self.rationales)[:, :, None] * row[..., :, None, :]
        table = blocks.reshape(*row.shape[:-1], self.rationales * self.answers)
        return np.concatenate([np.zeros((*row.shape[:-1], self.rationales)), table], axis=-1)

    def start(self, log_prior: np.ndarray, log_w: np.ndarray) -> np.ndarray:
        """Parameters (d,) with this prior and these weights, and equal wrong answers.

        Args:
            log_prior: (Z,) log p(z|x) in nats, normalised to 1e-12.
            log_w: (Z,) log p(y*|x, z) in nats, negative and finite.

        Returns:
            log_prior, then a table that is 0 except for the target's column.

        Raises:
            TypeError: An argument is no numpy array of float64.
            ValueError: An argument has another shape or is out of range.
        """
        prior_logits, odds = _start(self.rationales, log_prior, log_w)
        table = np.zeros((self.rationales, self.answers))
        table[:, self.target] = odds + np.log(self.answers - 1)
        return np.concatenate([prior_logits, table.ravel()])

    def _log_answers(self, theta: np.ndarray) -> np.ndarray:
        """Log p(y|x, z), (..., Z, K)."""
        table = parameters(theta, self.dimension)[..., self.rationales :]
        return log_softmax(table.reshape(*table.shape[:-1], self.rationales, self.answers))


def _start(rationales: int, log_prior: np.ndarray, log_w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Prior logits (Z,) and the logits of w (Z,), checked."""
    log_prior, log_w = log_distribution("log_prior", log_prior), float_array("log_w", log_w, ("Z",))
    rule = "a trained answer's log w must be negative and finite; FixedAnswers takes any"
    refuse(np, "log_w", log_w, ~((log_w < 0) & (log_w > -np.inf)), rule)
    for name, array in (("log_prior", log_prior), ("log_w", log_w)):
        if len(array) != rationales:
            raise ValueError(f"{name} has shape {array.shape}: ({rationales},) is needed")
    return log_prior, logit(log_w)
