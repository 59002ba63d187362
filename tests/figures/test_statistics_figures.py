"""The numbers that the figures on estimators and losses state, against closed forms and sums written here."""

import math

import numpy as np
import pytest
from computed import Computed
from scipy.optimize import brentq
from scipy.stats import binom

from figures.plots import (
    answer_length,
    bias,
    continuum,
    dispersion,
    division,
    escort,
    factorisations,
    floor,
    off_policy,
    saturation,
    variance,
)
from figures.plots.curves import Q
from qtheory.claims.own.qc_12 import tokens
from qtheory.estimators import allocate
from qtheory.exact import moments

COUNTS = np.arange(33)  # right answers among 32


def test_amplifications_are_powers() -> None:
    data = continuum.compute()
    for q, row in zip(Q, data.amplifications, strict=True):
        assert row[0] == pytest.approx(10 ** (6 * q))
    assert "3.2e4 at q = 0.75" in continuum.caption(data)


def test_escorts_meet_the_search_and_their_gain_vanishes_at_one() -> None:
    data = escort.compute()
    places = [int(np.argmin(np.abs(data.q - q))) for q in escort.SEARCHED]
    np.testing.assert_allclose(data.escorts[places], data.searched, rtol=1e-5)
    # At q = 0 the score is t_j - 1: the mode's vertex gets max a - 1, a itself sum a^2 - 1.
    assert data.gains[0] == pytest.approx(data.a.max() - np.sum(data.a**2))
    assert data.gains[-1] == pytest.approx(0, abs=1e-14)
    assert (np.diff(data.gains) < 0).all()


def test_the_second_order_holds_for_small_spreads_only() -> None:
    data = dispersion.compute()
    assert dispersion.ratio_at(data, 0.1) == pytest.approx(1, abs=0.01)
    assert (dispersion.ratio_at(data, 1.0) < 0.75).all()
    assert (data.excesses > 0).all()


class TestBias:
    data = Computed(bias.compute)

    def test_exponents(self) -> None:
        shown = np.array(bias.SHOWN)
        np.testing.assert_allclose(bias.exponents(self.data, self.data.bounded), -shown, atol=0.01)
        np.testing.assert_allclose(bias.exponents(self.data, self.data.steep), -(shown + 1), atol=0.01)

    def test_the_leading_term_takes_over_near_one_success_a_pool(self) -> None:
        enough = bias.described(self.data)
        assert 0.5 < enough < 5
        for p, relative, leading in zip(bias.SUCCESSES, self.data.relative, self.data.leading, strict=True):
            kept = self.data.size * p >= enough
            np.testing.assert_allclose(leading[kept], relative[kept], rtol=0.11)

    def test_one_draw_by_hand(self) -> None:
        for p, relative in zip(bias.SUCCESSES, self.data.relative, strict=True):
            # E[w^(1-q) f] against P^-q E[w f], weights 1 and 1/2 of prior p/2 and p, scores 1 and -1/2.
            mean = p * (0.5 * 1 - math.sqrt(0.5) * 0.5)
            true = p * (0.5 * 1 - 0.5 * 0.5) / math.sqrt(p)
            assert relative[0] == pytest.approx(abs(mean / true - 1))


class TestVariance:
    data = Computed(variance.compute)

    def test_resampling_only_adds(self) -> None:
        for values in (self.data.single, self.data.several):
            assert (values["paft"] >= values["plugin"] * (1 - 1e-9)).all()

    def test_the_baseline_raises_it_from_two_thirds_on(self) -> None:
        # With R of M right the RLOO form is R (M-R)/(M (M-1)), the plug-in (R/M)(1-P), both on one direction.
        def gain(p: float) -> float:
            mass = binom.pmf(COUNTS, 32, p)
            forms = COUNTS * (32 - COUNTS) / (32 * 31), COUNTS / 32 * (1 - p)
            rloo, plug_in = (mass @ x**2 - (mass @ x) ** 2 for x in forms)
            return math.log(rloo / plug_in)

        exact = brentq(gain, 0.55, 0.9)
        assert exact == pytest.approx(2 / 3, abs=0.01)
        assert variance.crossing(self.data, 0.0) == pytest.approx(exact, abs=0.01)
        assert f"from P = {variance.crossing(self.data, 0.0):.2f} on" in variance.caption(self.data)

    def test_with_varied_good_rationales_it_never_does_at_q_0(self) -> None:
        assert (self.data.several["rloo"][0] < self.data.several["plugin"][0]).all()


def test_saturation_and_its_exponents() -> None:
    data = saturation.compute()
    orders = np.array(Q)
    np.testing.assert_allclose(data.hard[:, 0], 32**orders, rtol=1e-5)
    np.testing.assert_allclose(
        np.diff(np.log(data.soft)) / np.diff(np.log(data.p)), np.tile(-orders[:, None], 59), atol=1e-9
    )
    np.testing.assert_allclose(data.hard_exponents[:, 0], -1, atol=1e-3)
    np.testing.assert_allclose(data.soft_exponents[:, 0], orders - 1, atol=1e-3)


def test_who_is_above_the_floor_and_who_on_it() -> None:
    data = floor.compute()
    for values in (data.plug_in, data.baseline[:-1], np.stack(list(data.rewards.values()))):
        assert (values >= data.least * (1 - 1e-6)).all()
    np.testing.assert_allclose(data.plug_in[-1], data.least, rtol=1e-6)
    # At q = 0 the plug-in is a mean of 32 Bernoulli draws.
    np.testing.assert_allclose(data.plug_in[0], np.sqrt((1 - data.p) / (32 * data.p)), rtol=1e-9)
    assert (data.baseline[-1] / data.least).min() < 0.95
    assert f"times at M P = {32 * data.p[-1]:.1f}" in floor.caption(data)


def test_divided_draws_gain_at_every_spread() -> None:
    data = division.compute()
    assert (data.draws.sum(-1) == 32 * 13).all()
    assert (data.gain > 1.05).all()
    p = np.geomspace(1e-4, 0.9, 13)

    def progress(draws: np.ndarray, rho: float) -> float:
        k = np.arange(1, draws.max() + 1)
        return sum(float(binom.pmf(k, m, success) @ (k / (k + rho))) for m, success in zip(draws, p, strict=True))

    # At q = 0 and rho = 30, the draws of the figure itself by sums written here.
    divided = allocate(np.log(p), 32 * 13, 0.0, 30.0)
    assert data.gain[0, -1] == pytest.approx(progress(divided, 30.0) / progress(np.full(13, 32), 30.0))
    assert f"{data.gain[0, -1]:.2f} at q = 0" in division.caption(data)


def test_long_answers_need_draws_unless_their_weights_are_tempered() -> None:
    data = answer_length.compute()
    assert data.plain[-1] > 5 * data.plain[0]
    assert data.tempered[-1] < 1.1 * data.tempered[0]
    assert (data.ruled > 0.99 * data.curves.max(-1)).all()
    for length, needed in zip(answer_length.LENGTHS, data.plain, strict=True):
        task = tokens(answer_length.TOKEN, length, answer_length.SPREAD)
        # Neighbours of the least M, with moments of the weights as they are.
        below, above = moments(task, 1.0, needed - 1), moments(task, 1.0, needed)
        reached = [(task.score @ m.mean) ** 2 / (task.score @ task.score * m.second_moment) for m in (below, above)]
        assert reached[0] < 0.5 <= reached[1]


def test_the_ratio_pays_where_the_bias_outweighs_its_noise() -> None:
    data = off_policy.compute()
    np.testing.assert_allclose(data.worth[:, 0], 1)
    # One token at T = 1.2: sum of pi^2/mu.
    token = np.array([0.8, 0.2]) ** (1 / 1.2)
    one_token = np.sum(np.array([0.64, 0.04]) / token) * token.sum()
    np.testing.assert_allclose(data.worth[2], one_token ** -off_policy.LENGTHS.astype(float))
    after = data.size > data.even
    assert (data.ratio[after] < data.plain[after]).all()
    assert data.ratio[data.size < data.even][-1] > data.plain[data.size < data.even][-1]
    assert (data.own[after] < data.ratio[after]).all()
    # Scores are sums of 30 coins: the mean of the successes moves from tanh(.8/sqrt(30)) to tanh(.4/sqrt(30)).
    there, here = (math.tanh(x / math.sqrt(30)) for x in (0.8, 0.4))
    assert data.plain[-1] == pytest.approx((1 - here / there) ** 2, rel=0.02)


def test_the_diagram_names_both_readings() -> None:
    words = factorisations.caption(factorisations.compute())
    assert all(name in words for name in ("GARL", "PAFT", "VeriFree", "IWAE", "TRICE"))
