"""The gradient flow's velocity -grad J_q of examples that share parameters (Prop 4.1, Eq 6)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from qtheory.flow.schedule import checked

Velocity = Callable[[np.ndarray, float], np.ndarray]
Scores = Callable[[np.ndarray], np.ndarray]
LogP = Callable[[np.ndarray], np.ndarray]


def velocity(
    scores: Scores, log_p: LogP, q: ArrayLike | Callable[[float], float], weights: ArrayLike | None = None
) -> Velocity:
    """The velocity sum_i a_i P_i^(1-q) s_i as a function of the parameters and of time.

    Args:
        scores: theta (..., d) -> s_i = grad log P_i, (..., N, d).
        log_p: theta (..., d) -> log P_i, (..., N), in nats.
        q: In [0, 1], a number or (...); or a schedule, called with the time (for `steps_to`, the step's number).
        weights: (N,) weights a_i, non-negative; by default 1/N.

    Returns:
        (theta (..., d), t) -> (..., d).

    Raises:
        ValueError: q outside [0, 1], or a negative weight.
    """
    fixed = np.empty(()) if callable(q) else np.asarray(q, dtype=float)
    if not callable(q) and not ((fixed >= 0) & (fixed <= 1)).all():
        raise ValueError(f"q is {q}: q must lie in [0, 1]")
    mix = None if weights is None else np.asarray(weights, dtype=float)
    if mix is not None and not (mix >= 0).all():
        raise ValueError(f"weights are {weights}: they must be non-negative")

    def at(theta: np.ndarray, t: float) -> np.ndarray:
        s, level = scores(theta), log_p(theta)
        order = np.asarray(checked(q(t))) if callable(q) else fixed
        share = np.full(level.shape[-1], 1 / level.shape[-1]) if mix is None else mix
        return ((share * np.exp((1 - order[..., None]) * level))[..., None] * s).sum(-2)

    return at
