"""Fit orders of convergence as exponents of a power law."""

import numpy as np


def fitted_slope(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Least-squares exponents of a power law.

    Args:
        x: (N,) positive, at least two different ones.
        y: (..., N) positive.

    Returns:
        (...,) slopes of log y in log x.
    """
    centred = np.log(x) - np.log(x).mean()
    return np.log(y) @ centred / (centred @ centred)
