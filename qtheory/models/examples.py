"""Several examples on shared parameters: their mean loss, stacked models, and sigmoids at given score angles."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qtheory._arrays import refuse
from qtheory.models.checks import float_array, log_success, parameters
from qtheory.models.model import Model
from qtheory.models.numerics import log_sigmoid, logit
from qtheory.tsallis import attenuation_from_log, loss_from_log

_ROUNDING = 1e-12  # tolerance of cosines


class Examples(ABC):
    """N examples with weights (N,) that sum to 1, as functions of shared parameters theta (..., d).

    Types and errors are those of `qtheory.models.Model`.
    """

    @property
    @abstractmethod
    def dimension(self) -> int:
        """The number d of parameters."""

    @property
    @abstractmethod
    def weights(self) -> np.ndarray:
        """(N,) the share of each example in J_q."""

    @abstractmethod
    def log_p(self, theta: np.ndarray) -> np.ndarray:
        """Log P of each example in nats, (..., N)."""

    @abstractmethod
    def score(self, theta: np.ndarray) -> np.ndarray:
        """The score grad log P of each example, (..., N, d)."""

    def loss(self, theta: np.ndarray, q: float) -> np.ndarray:
        """J_q = sum_i weights_i l_q(P_i), (...,), for a number q in [0, 1]."""
        return np.asarray(loss_from_log(self.log_p(theta), q)) @ self.weights

    def gradient(self, theta: np.ndarray, q: float) -> np.ndarray:
        """The gradient of J_q, -sum_i weights_i P_i^(1-q) s_i (Prop 4.1), (..., d)."""
        factors = np.asarray(attenuation_from_log(self.log_p(theta), q)) * self.weights
        return -np.einsum("...n,...nd->...d", factors, self.score(theta))


@dataclass(frozen=True, eq=False)
class Stacked(Examples):
    """Models of single examples that read the same parameters, equally weighted.

    Attributes:
        models: N models of equal dimension.

    Raises:
        ValueError: There is no model, or the dimensions differ.
    """

    models: Sequence[Model]

    def __post_init__(self) -> None:
        dimensions = [model.dimension for model in self.models]
        if len(set(dimensions)) != 1:
            raise ValueError(f"models have dimensions {dimensions}: examples that share parameters have one dimension")

    @property
    def dimension(self) -> int:
        """The models' d."""
        return self.models[0].dimension

    @property
    def weights(self) -> np.ndarray:
        """(N,) equal shares."""
        return np.full(len(self.models), 1 / len(self.models))

    def log_p(self, theta: np.ndarray) -> np.ndarray:
        """Log P of each model in nats, (..., N)."""
        return np.stack([model.log_p(theta) for model in self.models], axis=-1)

    def score(self, theta: np.ndarray) -> np.ndarray:
        """The score of each model, (..., N, d)."""
        return np.stack([model.score(theta) for model in self.models], axis=-2)


class AngledSigmoids(Examples):
    """P_i = sigma(b_i + v_i . theta) with unit vectors v_i at given angles, equally weighted.

    The scores are (1 - P_i) v_i, at the same angles everywhere. d = N, and theta = 0 is the start.

    Attributes:
        directions: (N, N) the vectors v_i as rows.
        offsets: (N,) the logits b_i of the examples' p0.
    """

    def __init__(self, cosines: np.ndarray, log_p0: np.ndarray) -> None:
        """Place the examples.

        Args:
            cosines: (N, N) cosines of the angles between scores: symmetric, with a diagonal of 1, and positive
                semi-definite to 1e-12.
            log_p0: (N,) log P_i at theta = 0 in nats, negative and finite.

        Raises:
            TypeError: An argument is no numpy array of float64.
            ValueError: A shape is wrong, log_p0 is out of range, or no vectors have such angles.
        """
        cosines = float_array("cosines", cosines, ("N", "N"))
        log_p0 = log_success(float_array("log_p0", log_p0, ("N",)))
        if cosines.shape != (len(log_p0), len(log_p0)):
            raise ValueError(f"cosines has shape {cosines.shape}: log_p0 has {len(log_p0)} examples")
        asymmetric, diagonal = ~(np.abs(cosines - cosines.T) <= _ROUNDING), np.diag(cosines)
        refuse(np, "cosines", cosines, asymmetric, "it must equal its mirror image across the diagonal")
        refuse(np, "diag(cosines)", diagonal, ~(np.abs(diagonal - 1) <= _ROUNDING), "a cosine with itself is 1")
        values, vectors = np.linalg.eigh(cosines)
        if values[0] < -_ROUNDING:
            raise ValueError(f"cosines has the eigenvalue {values[0]:.3g}: no vectors have such angles; bring it to 0")
        # Drop eigenvalues within rounding: their roots would add directions, and equal examples must remain equal.
        directions = vectors * np.sqrt(np.where(values > _ROUNDING, values, 0.0))
        self.directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        self.offsets = logit(log_p0)

    @property
    def dimension(self) -> int:
        """N."""
        return len(self.offsets)

    @property
    def weights(self) -> np.ndarray:
        """(N,) equal shares."""
        return np.full(len(self.offsets), 1 / len(self.offsets))

    def log_p(self, theta: np.ndarray) -> np.ndarray:
        """Log P_i in nats, (..., N), of parameters (..., N)."""
        return log_sigmoid(self._logits(theta))

    def score(self, theta: np.ndarray) -> np.ndarray:
        """The scores (1 - P_i) v_i, (..., N, N)."""
        return np.exp(log_sigmoid(-self._logits(theta)))[..., None] * self.directions

    def _logits(self, theta: np.ndarray) -> np.ndarray:
        return parameters(theta, self.dimension) @ self.directions.T + self.offsets
