"""The leave-one-out baseline of the bias-corrected estimators, the same as GARL's."""

from typing import get_args

from qtheory._arrays import Array, Namespace, shown
from qtheory.estimators.coefficients import Coefficients
from qtheory.estimators.garl import Baseline
from qtheory.estimators.pool import Pool, others_power


def known_baseline(baseline: str) -> None:
    """Check a baseline's name.

    Args:
        baseline: What was passed.

    Raises:
        ValueError: It is neither "loo" nor "none".
    """
    if baseline not in get_args(Baseline):
        raise ValueError(f"baseline is {shown(baseline)}: choose one of {', '.join(get_args(Baseline))}")


def with_baseline(xp: Namespace, answer: Array, statistics: Pool, q: Array, baseline: Baseline) -> Coefficients:
    """Take wbar_(-m)^(1-q) off the rationales' coefficients, which leaves the expectation alone (Prop 6.2).

    Args:
        xp: The namespace of `answer`.
        answer: (..., M) reward terms, which become the answers' coefficients.
        statistics: The pool's.
        q: Broadcastable to (..., M).
        baseline: "loo", or "none". A pool of one has no others and no baseline.

    Returns:
        Coefficients (..., M).
    """
    others = others_power(xp, statistics, q) if baseline == "loo" else None
    return Coefficients(xp.asarray(answer, copy=True) if others is None else answer - others, answer)
