"""The gradient flow's velocity -grad J_q of examples that share parameters (Prop 4.1, Eq 6)."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from qtheory._arrays import refuse
from qtheory._numbers import function, numbers, order, together
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
        TypeError: scores or log_p is no function, or q or weights hold no numbers.
        ValueError: q outside [0, 1], or a weight that is negative or not finite; and when the velocity is called,
            scores, weights or q of a shape that does not fit the examples, or a schedule's q outside [0, 1].
    """
    function("scores", scores, "theta -> grad log P_i")
    function("log_p", log_p, "theta -> log P_i")
    fixed = np.empty(()) if callable(q) else order(q)
    mix = None if weights is None else numbers("weights", weights)
    if mix is not None:
        if mix.ndim != 1:
            raise ValueError(f"weights has shape {mix.shape}: pass one weight an example, (N,)")
        refuse(np, "weights", mix, ~((mix >= 0) & (mix < math.inf)), "they must be non-negative and finite")

    def at(theta: np.ndarray, t: float) -> np.ndarray:
        s, level = scores(theta), log_p(theta)
        fitting("scores", s, (*level.shape, theta.shape[-1]))
        rows = np.asarray(checked(q(t))) if callable(q) else fixed
        if rows.ndim:
            together(q=rows, theta=np.empty(level.shape[:-1]))
        share = np.full(level.shape[-1], 1 / level.shape[-1]) if mix is None else mix
        if len(share) != level.shape[-1]:
            raise ValueError(f"weights has {len(share)} entries for {level.shape[-1]} examples: pass one for each")
        return ((share * np.exp((1 - rows[..., None]) * level))[..., None] * s).sum(-2)

    return at


def fitting(name: str, value: np.ndarray, shape: tuple[int, ...]) -> None:
    """Check the shape of what a caller's function returned; ValueError otherwise."""
    if np.shape(value) != shape:
        raise ValueError(f"{name} has shape {np.shape(value)}: {shape} is needed, as theta and log_p have it")
