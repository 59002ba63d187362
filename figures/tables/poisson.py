"""Table `poisson`: bias, noise and alignment of the plug-in on 0/1 weights by M P, for all M and P (QC-10)."""

from pathlib import Path

import numpy as np

from figures.markdown import table
from figures.plots.curves import Q
from figures.study_data import DATA
from qtheory.exact import poisson_limit

HELD = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
LEAST = 1e-6
"""What is shown in digits."""


def poisson_table(folder: Path = DATA) -> str:
    """Relative bias and relative standard deviation, one row for each M P.

    Args:
        folder: Not read.
    """
    del folder
    limit = poisson_limit(np.array(HELD)[:, None], np.array(Q))
    rows = [
        [f"{held:g}", *(f"{_shown(b)}, {_shown(d)}" for b, d in zip(bias, deviation, strict=True))]
        for held, bias, deviation in zip(HELD, limit.bias, np.sqrt(limit.variance), strict=True)
    ]
    return table(["M P", *(f"q = {q:g}" for q in Q)], rows)


def _shown(value: float) -> str:
    # At q = 0 there is no bias, and what is left is rounding.
    return f"{value:.2g}" if value > LEAST else "0" if abs(value) < 1e-13 else f"< {LEAST:.0e}".replace("e-06", "e-6")
