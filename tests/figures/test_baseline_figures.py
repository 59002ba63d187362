"""The numbers that the figures on the baseline and on the best q state, against closed forms and sums written here."""

import numpy as np
import pytest
from computed import Computed
from scipy.optimize import brentq
from scipy.stats import binom

from figures.plots import baseline, best_q


class TestBaseline:
    data = Computed(baseline.compute)

    def test_one_right_rationale(self) -> None:
        def ratio(p: float) -> float:
            # With R of M right: plug-in (R/M)^(1-q) (1-P), baseline by the others' means, all on one direction.
            right, rate = np.arange(33), 1 - baseline.ORDER
            plug_in = (right / 32) ** rate * (1 - p)
            others = np.maximum(right - 1, 0) / 31, np.minimum(right, 31) / 31
            term = (right * (1 - p) * others[0] ** rate - (32 - right) * p * others[1] ** rate) / 32
            mass = binom.pmf(right, 32, p)
            return float((mass @ (plug_in * term)) / (mass @ term**2))

        name = next(iter(baseline.FAMILIES))
        expected = [ratio(float(p)) for p in self.data.mass[name]]
        np.testing.assert_allclose(self.data.multiplier[name], expected, rtol=1e-7)
        exact = brentq(lambda p: ratio(p) - 0.5, 0.3, 0.9)
        assert baseline.crossing(self.data) == pytest.approx(exact, abs=5e-3)
        assert f"from P = {exact:.2f} on" in baseline.caption(self.data)

    def test_the_weighted_baseline_at_the_others_worst(self) -> None:
        worst = self.data.loo.argmax(-1)
        assert (self.data.loo.max(-1) > 2.5).all()
        assert all(row[place] < 0.8 for row, place in zip(self.data.weighted, worst, strict=True))


class TestBestQ:
    data = Computed(best_q.compute)

    def test_the_law_at_many_successes(self) -> None:
        held = best_q.MANY * self.data.p
        kept = held >= 50
        for rho, found in zip(best_q.RHO, self.data.best, strict=True):
            np.testing.assert_allclose(found[kept], (held / (held + rho))[kept], atol=6e-3)

    def test_nothing_beats_the_adaptive_weights(self) -> None:
        assert (self.data.fixed <= self.data.adaptive[:, None]).all()
        assert (self.data.each <= self.data.adaptive).all()
        assert "0.6%, 1.3% and 0.1%" in best_q.caption(self.data)
