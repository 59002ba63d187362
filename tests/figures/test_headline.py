"""Figure `headline`: the end values on its lines, the straight lines of panel b and the law of panel c."""

import numpy as np
import pytest
from computed import Computed

from figures.plots import headline
from qtheory.escape import sigmoid_time


class TestNumbers:
    data = Computed(headline.compute)

    def test_ends_are_those_of_the_closed_form(self) -> None:
        ends = [float(sigmoid_time(1e-12, 0.5, q)) for q in headline.Q]
        np.testing.assert_allclose(self.data.time[:, -1], ends, rtol=1e-12)
        assert ends == pytest.approx([1e12, 2e6, np.log(1e12) + 1], rel=1e-4)
        words = headline.caption(self.data)
        assert "it is 1e12 at q = 0, 2e6 at q = 0.5 and 28.6 at q = 1" in words

    def test_times_at_q_1_are_straight_in_log_p0(self) -> None:
        log = np.log(self.data.starts)
        for name, time in self.data.families.items():
            cold = slice(2, None)
            line = np.polyval(np.polyfit(log[cold], time[cold], 1), log[cold])
            np.testing.assert_allclose(time[cold], line, rtol=0.01, err_msg=name)
        # Without latents the slope is 1/||s||^2 at P = 0: the sigmoid's score there is 1.
        assert headline.slopes(self.data)["sigmoid"] == pytest.approx(1, abs=1e-6)

    def test_one_law_for_all_biases(self) -> None:
        # Weights 1 and 1/2 of posterior 1/2 each and scores 1 and -1/2: E_post w = 3/4, Cov_post(w, f) = 3/16.
        for index, q in enumerate(headline.BIASED):
            many = self.data.draws[:, index] > 1000
            measured = (self.data.bias * self.data.draws)[:, index][many]
            np.testing.assert_allclose(measured, 0.75 + (1 - q) / 2 * 0.75, rtol=0.02)
        assert (self.data.bias[self.data.draws <= 1] > 0.4).all()
        assert (self.data.bias[self.data.draws >= 10] < 0.11).all()
        assert "From M P/q = 10 on it is 0.75 to 1.1 times q/(M P)" in headline.caption(self.data)
