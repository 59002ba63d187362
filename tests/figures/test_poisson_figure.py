"""Figure and table `poisson`: numbers by hand, and marks that come to the lines as M grows."""

import math

import numpy as np

from figures.plots.poisson import END, caption, compute
from figures.tables.poisson import poisson_table


def test_numbers() -> None:
    data = compute()
    np.testing.assert_allclose(data.bias[-1], np.exp(-data.held), atol=1e-12)
    np.testing.assert_allclose(data.noise[0], data.held**-0.5, rtol=1e-9)
    np.testing.assert_allclose(data.time[0], 1 / data.held[: data.time.shape[1]] - 1 / END, rtol=1e-9)
    words = caption(data)
    # At M P = 1 and q = 1 a pool is empty with chance 1/e.
    assert f"and {math.exp(-1):.2f} at q = 0, 0.25, 0.5, 0.75 and 1" in words
    assert "within 0.03, 0.003 and 5e-05 of the lines" in words


def test_the_table() -> None:
    rows = [line.strip("| ").split(" | ") for line in poisson_table().splitlines()[2:]]
    assert rows[3][0] == "1"
    assert rows[3][1] == "0, 1"
    p = math.exp(-1)
    assert rows[-1][-1] == "0, < 1e-6"
    assert rows[3][-1] == f"{p:.2g}, {math.sqrt(p * (1 - p)):.2g}"
