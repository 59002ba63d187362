"""A two-hop chain: from a question's source over an intermediate node, the rationale, to its answer."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qtheory._numbers import count
from qtheory.models.categorical import SoftmaxAnswers
from qtheory.models.checks import index, parameters
from qtheory.models.model import LatentModel


@dataclass(frozen=True)
class TwoHopChain(LatentModel):
    """One question (source, target) on two softmax tables: p(z|source), then p(y|z).

    Parameters theta hold the first table (S, Z) and then the second (Z, K), in C order. Questions on the same
    tables share the second table, and with equal sources a row of the first (`qtheory.models.Stacked`).

    Attributes:
        sources: S, at least 1.
        nodes: Z, at least 1.
        answers: K, at least 2.
        source: The question's row of the first table, below S.
        target: The index of y*, below K.

    Raises:
        TypeError: An argument is not an integer.
        ValueError: S < 1, Z < 1, K < 2, or the source or target is out of range.
    """

    sources: int
    nodes: int
    answers: int
    source: int = 0
    target: int = 0

    def __post_init__(self) -> None:
        index("source", self.source, count("sources", self.sources, 1))
        count("nodes", self.nodes, 1)
        index("target", self.target, count("answers", self.answers, 2))

    @property
    def dimension(self) -> int:
        """S Z logits of the first hop and Z K of the second."""
        return self.nodes * (self.sources + self.answers)

    def log_prior(self, theta: np.ndarray) -> np.ndarray:
        """Log p(z|source) in nats, (..., Z), of parameters (..., d)."""
        return self._one_question.log_prior(self._own(theta))

    def log_w(self, theta: np.ndarray) -> np.ndarray:
        """Log p(target|z) in nats, (..., Z)."""
        return self._one_question.log_w(self._own(theta))

    def prior_score(self, theta: np.ndarray) -> np.ndarray:
        """The gradient of log p(z|source), (..., Z, d): 0 outside of the question's row."""
        return self._spread(self._one_question.prior_score(self._own(theta)))

    def answer_score(self, theta: np.ndarray) -> np.ndarray:
        """The gradient of log p(target|z), (..., Z, d): 0 outside of the node's row of the second table."""
        return self._spread(self._one_question.answer_score(self._own(theta)))

    def start(self, log_prior: np.ndarray, log_w: np.ndarray) -> np.ndarray:
        """Parameters (d,) with this prior and these weights for the question, and 0 in the other sources' rows.

        Args:
            log_prior: (Z,) log p(z|source) in nats, normalised to 1e-12.
            log_w: (Z,) log p(target|z) in nats, negative and finite.

        Returns:
            Both tables, with equal wrong answers in the second.

        Raises:
            TypeError: An argument is no numpy array of float64.
            ValueError: An argument has another shape or is out of range.
        """
        return self._spread(self._one_question.start(log_prior, log_w))

    @cached_property
    def _one_question(self) -> SoftmaxAnswers:
        return SoftmaxAnswers(self.nodes, self.answers, self.target)

    @cached_property
    def _positions(self) -> np.ndarray:
        """Indices of the question's parameters in theta."""
        row = np.arange(self.nodes) + self.source * self.nodes
        return np.concatenate([row, np.arange(self.sources * self.nodes, self.dimension)])

    def _own(self, theta: np.ndarray) -> np.ndarray:
        return parameters(theta, self.dimension)[..., self._positions]

    def _spread(self, own: np.ndarray) -> np.ndarray:
        full = np.zeros((*own.shape[:-1], self.dimension))
        full[..., self._positions] = own
        return full
