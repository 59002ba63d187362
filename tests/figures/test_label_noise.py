"""Figure `label_noise`: rests are the escort's, and times the law's where n is small."""

import numpy as np

from figures.plots.label_noise import FLIPS, START, Q, caption, compute
from qtheory import tsallis


def test_numbers() -> None:
    data = compute()
    for e, zeros in zip(FLIPS, data.zeros, strict=True):
        np.testing.assert_allclose(zeros, [tsallis.escort(np.array([e, 1 - e]), q)[0] for q in Q], rtol=1e-9)
    early = data.n[:, -1] < 10 * START
    np.testing.assert_allclose(data.time[early, -1], data.law[early, -1], rtol=0.01)
    assert (data.paper < 0.01 * data.time).all()
    assert "it rests at 0.2 for q = 1 and 0.0039 for q = 0.25" in caption(data)
