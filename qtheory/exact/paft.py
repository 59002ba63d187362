"""PAFT at finite M and K: the plug-in's moments and the variance that resampling adds (Prop D.3, D.4)."""

import numpy as np
from scipy.spatial.distance import cdist

from qtheory.exact.plugin import pair_weights
from qtheory.exact.transforms import Transforms


def resampling_variance(t: Transforms, q: np.ndarray, size: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Var(PAFT) - Var(plug-in) = (1/K) ( E[wbar^(1-2q) mean(w ||f||^2)] - E||plug-in||^2 ) >= 0.

    Only pairs of draws contribute, by the variance of f under the weights w e^(-s w):
    (1 - 1/M)(M^2q/Gamma(2q)) int s^(2q-1) [ E(w e^(-s w)) E(w ||f||^2 e^(-s w)) - ||A||^2 ] phi^(M-2) ds, over K.

    Args:
        t: The task's transforms.
        q: (C,) in [0, 1].
        size: (C,) M, as floats.
        draws: (C,) K, as floats.

    Returns:
        (C,) in units of the largest weight to the power 2 (1 - q).
    """
    # The bracket is half the mean squared distance of two scores: positive terms, whatever their mean.
    distance = cdist(t.f, t.f, "sqeuclidean")
    share = t.reach * t.decay * t.prior
    bracket = np.sum((share @ distance) * share, -1) / 2
    _, pairs = pair_weights(t, q, size)
    return pairs @ bracket / draws
