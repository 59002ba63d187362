"""Figure `escape_spread`: its runs are of the law, and its caption's numbers are the runs'."""

import numpy as np

from figures.plots.escape_spread import P0, RUNS, SAMPLED, SAMPLES, caption, compute


def test_numbers() -> None:
    data, kappa = compute(), np.array(SAMPLED)
    mean, cv = 1 / (1 - np.exp(-kappa)), np.sqrt(np.tanh(kappa / 2))
    errors = cv * mean / np.sqrt(RUNS)
    assert (np.abs(data.sampled[..., 0] - mean) < 4 * errors).all()
    np.testing.assert_allclose(data.sampled[..., 1], np.broadcast_to(cv, (3, len(kappa))), rtol=0.1)
    low, high = data.band
    assert ((low < data.mean) & (data.mean < high)).all()
    assert f"M = {SAMPLES}, p0 = {P0:g}" in caption(data)
    assert "20.2 times the mean field's" in caption(data)
