"""Model families: their starts, the path solver against the direct one on each, and their exponents."""

import math

import numpy as np
import pytest

from qtheory.escape import FAMILIES, family, family_exponents, log_family_times
from qtheory.flow import escape, velocity

every_family = pytest.mark.parametrize("name", FAMILIES)


@every_family
def test_starts_have_the_probability_asked_for(name):
    one = family(name)
    for log_p0 in (-600.0, -27.6, math.log(0.49)):
        assert float(one.model.log_p(one.start(log_p0))) == pytest.approx(log_p0, rel=1e-13)


@pytest.mark.slow
@every_family
def test_path_and_direct_solver_agree(name):
    # The one has log P for its variable and the other time; they share the model alone.
    one = family(name)
    for p0, q in ((1e-9, 0.75), (0.05, 0.0)):
        along = log_family_times(one, math.log(p0), 0.5, [q])[0, 0]

        def scores(theta):
            return one.model.score(theta)[..., None, :]

        def log_p(theta):
            return one.model.log_p(theta)[..., None]

        flow = escape(velocity(scores, log_p, q), scores, log_p, one.start(math.log(p0)), math.log(0.5), 1e30)
        assert math.log(flow.time[0]) == pytest.approx(along, abs=1e-8)


@pytest.mark.slow
@every_family
def test_one_solve_serves_all_q(name):
    together = log_family_times(family(name), [-20.0, -5.0], 0.4, [0.0, 0.5, 1.0])
    alone = [log_family_times(family(name), [-20.0, -5.0], 0.4, [q])[:, 0] for q in (0.0, 0.5, 1.0)]
    np.testing.assert_allclose(together, np.transpose(alone), rtol=1e-9)


def test_exponents_are_those_of_the_theorem():
    q = [0.0, 0.25, 0.5, 0.75]
    for exponents in family_exponents(np.log(np.geomspace(1e-10, 1e-8, 3)), 0.5, q).values():
        np.testing.assert_allclose(exponents, np.tile(np.array(q) - 1, (1, 1)), atol=1e-3)


def test_at_q_1_competing_rationales_settle_as_the_logarithm_does():
    # ||s||^2 - 1 falls as 1/log^2(1/p0) once one rationale leads, so that the exponent does as its cube.
    depths = np.array([-50.0, -100.0, -200.0])
    off = [abs(family_exponents(at + np.arange(3.0), 0.5, [1.0], ["latent-sigmoid"])["latent-sigmoid"][0, 0])
           for at in depths]  # fmt: skip
    slopes = np.diff(np.log(off)) / np.diff(np.log(-depths))
    np.testing.assert_allclose(slopes, -3, atol=0.35)
