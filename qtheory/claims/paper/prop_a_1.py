"""Prop A.1: the expected exact-match reward is E[P], so that J_0 is one less that reward."""

import numpy as np
import sympy

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.support.reference import REALS, Real, Vector, floats, gradient, mean, softmax
from qtheory.claims.support.symbolic import vanishes
from qtheory.exact import moments
from qtheory.models import Stacked, TwoHopChain

SOURCES, NODES, ANSWERS = 2, 3, 4
QUESTIONS = ((0, 0), (1, 2), (0, 3))  # source and right answer of each example
CHAINS = [TwoHopChain(SOURCES, NODES, ANSWERS, source, target) for source, target in QUESTIONS]
THETAS = np.random.default_rng(0).normal(scale=2, size=(3, CHAINS[0].dimension))
SAMPLES = 20_000
DEVIATIONS = 4.5  # standard errors


def check() -> Evidence:
    """Rewards by enumeration of (z, y) and by sampling, against J_0 and its gradient."""
    examples = Stacked(CHAINS)
    rewards = floats([_expected_reward(_reals(theta)) for theta in THETAS])
    slopes = floats([gradient(_expected_reward, _reals(theta)) for theta in THETAS])
    single = floats([[gradient(lambda at, i=i: _reward(at, i), _reals(theta)) for i in range(3)] for theta in THETAS])
    policy = np.array([[moments(chain.task(theta), 0.0, 4, "star").mean for chain in CHAINS] for theta in THETAS])
    return Evidence(
        (
            Comparison("J_0, 1 - E[reward]", examples.loss(THETAS, 0.0), 1 - rewards, 1e-13, "relative"),
            Comparison(
                "log P of each example, log E[r]", examples.log_p(THETAS), floats(_log_each()), 1e-12, "absolute"
            ),
            Comparison("-grad J_0, grad E[reward]", -examples.gradient(THETAS, 0.0), slopes, 1e-14, "absolute"),
            Comparison("mean of r grad log p(z, y|x), grad E[r]", -policy, single, 1e-13, "absolute"),
            Comparison("sampled rewards: z-scores, 0", _z_scores(), np.array(0), DEVIATIONS, "absolute"),
            vanishes("E[r grad log p(z, y|x)] = grad P, Z = K = 2", *_symbolic_slopes()),
        )
    )


def _reals(theta: np.ndarray) -> Vector:
    return [REALS.mpf(logit) for logit in theta]


def _reward(theta: Vector, question: int) -> Real:
    """E[1 if y = y*] of one example: the sum over all rationales and all answers."""
    source, target = QUESTIONS[question]
    second = SOURCES * NODES
    nodes = softmax(theta[source * NODES : (source + 1) * NODES])
    rows = [softmax(theta[second + z * ANSWERS : second + (z + 1) * ANSWERS]) for z in range(NODES)]
    return sum(nodes[z] * rows[z][y] * (y == target) for z in range(NODES) for y in range(ANSWERS))


def _expected_reward(theta: Vector) -> Real:
    return mean([_reward(theta, question) for question in range(len(QUESTIONS))])


def _log_each() -> list[list[Real]]:
    return [[REALS.log(_reward(_reals(theta), i)) for i in range(len(QUESTIONS))] for theta in THETAS]


def _z_scores() -> np.ndarray:
    """(N, 3) distances of sampled mean rewards from P, in standard errors."""
    rng = np.random.default_rng(1)
    values = []
    for theta in THETAS:
        first, second = np.split(theta, [SOURCES * NODES])
        first, second = first.reshape(SOURCES, NODES), second.reshape(NODES, ANSWERS)
        for chain, (source, target) in zip(CHAINS, QUESTIONS, strict=True):
            # The largest of logits plus Gumbel noise is a draw from their softmax.
            z = np.argmax(first[source] + rng.gumbel(size=(SAMPLES, NODES)), axis=-1)
            y = np.argmax(second[z] + rng.gumbel(size=(SAMPLES, ANSWERS)), axis=-1)
            p = float(chain.p(theta))
            values.append((np.mean(y == target) - p) / np.sqrt(p * (1 - p) / SAMPLES))
    return np.array(values).reshape(len(THETAS), len(CHAINS))


def _symbolic_slopes() -> list[sympy.Expr]:
    logit, *answer_logits = sympy.symbols("t u_0 u_1", real=True)
    prior = [1 / (1 + sympy.exp(-logit)), 1 / (1 + sympy.exp(logit))]
    right = [1 / (1 + sympy.exp(-u)) for u in answer_logits]
    joint = [[(p * w, 1), (p * (1 - w), 0)] for p, w in zip(prior, right, strict=True)]
    success = sum(p * w for p, w in zip(prior, right, strict=True))
    return [
        sum(p * reward * sympy.diff(sympy.log(p), t) for row in joint for p, reward in row) - sympy.diff(success, t)
        for t in (logit, *answer_logits)
    ]


PROP_A_1 = Claim(
    label="Prop A.1",
    statement="the expected exact-match reward is E[P], so that minimising J_0 = 1 - E[P] maximises it",
    verdict="holds",
    condition=None,
    check=check,
    figure="continuum",
)
