"""The binomial law of the number of right answers in a pool, without negligible counts."""

import numpy as np


def binomial(size: int, odds: float) -> tuple[np.ndarray, np.ndarray]:
    """Counts and their probabilities, by ratios outwards from the most likely count.

    Probabilities from log-factorials would lose digits in proportion to M log M. The omitted counts, more than 14
    standard deviations and 100 beyond the mode, have less than 1e-30 of the mass.

    Args:
        size: M, at least 1.
        odds: P/(1 - P), finite.

    Returns:
        Counts (N,), ascending, and probabilities (N,) that sum to 1; N grows as sqrt(M) at most.
    """
    p = odds / (1 + odds)
    mode = min(size, int((size + 1) * p))
    reach = 100 + int(14 * np.sqrt(size * p / (1 + odds)))
    count = np.arange(max(0, mode - reach), min(size, mode + reach) + 1, dtype=float)
    up = (size - count[:-1]) / (count[1:]) * odds  # from each count to the next
    at = mode - int(count[0])
    mass = np.concatenate([np.cumprod(1 / up[:at][::-1])[::-1], [1.0], np.cumprod(up[at:])])
    return count, mass / mass.sum()
