"""Sums over the Poisson law of the number of successes in a pool, where it is not negligible."""

import numpy as np


def poisson(successes: float) -> tuple[np.ndarray, np.ndarray]:
    """Counts and their probabilities, by ratios outwards from the most likely count.

    Probabilities by way of log-factorials would lose digits in proportion to the count. The counts left out, more than
    14 standard deviations and 100 beyond the mode, have less than 1e-30 of the mass.

    Args:
        successes: The mean lambda, positive.

    Returns:
        Counts (N,), ascending, and probabilities (N,) that sum to 1; N grows as sqrt(lambda).
    """
    mode = int(successes)
    reach = 100 + int(14 * np.sqrt(successes))
    count = np.arange(max(0, mode - reach), mode + reach + 1, dtype=float)
    up = successes / count[1:]  # from each count to the next
    at = mode - int(count[0])
    mass = np.concatenate([np.cumprod(1 / up[:at][::-1])[::-1], [1.0], np.cumprod(up[at:])])
    return count, mass / mass.sum()


def mean_of_power(successes: float, power: float) -> float:
    """E[(K/lambda)^power; K >= 1] for K of the mean lambda, relative 1e-13; a pool without a success counts 0."""
    count, mass = poisson(successes)
    held = count > 0
    return float(mass[held] @ (count[held] / successes) ** power)
