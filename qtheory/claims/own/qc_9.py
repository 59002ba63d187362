"""QC-9: the best schedule of q on noisy labels, and why two stages, SFT and then RLVR, come near it.

With a share e of the labels flipped to the wrong one of two, the flow moves P by g(q, P) P^2 ||s||^2, g = (1-e) P^-q -
e n^-q, n = 1 - P (Prop C.2). It has one dimension: the time to a target is the integral of dP/(g P^2 ||s||^2), and a q
chosen by P makes it least where it makes g largest at every P. For e < 1/2, g rises in q throughout [0, 1] up to
P = 1/2; above, it is largest where (1-e) P^-q log 1/P = e n^-q log 1/n. Neither ||s|| nor start nor target enters.

Of two stages the best change over where g(1, P) = g(0, P), that is (n/P)^2 = e/(1-e). The least g that they have beside
the best schedule's is the one there, for e -> 1/2: with P = 1/2 + h/2 and e = 1/2 - h, g = h 2^q (2-q) to first order.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import sympy
from scipy.integrate import quad, solve_ivp
from scipy.optimize import brentq, minimize_scalar

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.paper.prop_c_2 import Linear, Reached
from qtheory.claims.support.reference import REALS, Real
from qtheory.claims.support.symbolic import vanishes
from qtheory.escape import FAMILIES, Family, best_constant_q, noise_switch, noisy_time, sigmoid_time
from qtheory.estimators import noise_q
from qtheory.flow import Stepwise
from qtheory.models import Model, NoisyLabels, Sigmoid

FLIP, P0 = 0.1, 1e-6
TARGETS = (0.95, 0.99)
FLIPS = np.array([1e-3, 0.03, 0.1, 0.3, 0.45])
BOUND = 2 / (math.e * math.log(2))
"""Time of the best two stages over the least of all, at most."""
ORDERS = np.linspace(0, 1, 2001)
TRIED = np.array([0.1, 0.3])
"""Sizes of the deviations from the best schedule."""
COLD = np.array([1e-290, 1e-280])
MANY = 1e12
"""Wrong labels, where they are many."""


def check() -> Evidence:
    """The rule against searches and roots; times against flows of theta; what deviations, two stages and one q cost."""
    rule, steepest, elsewhere = _searched()
    flows, ours = _flows()
    least = np.array([[noisy_time(P0, target, e, best(e)) for target in TARGETS] for e in FLIPS.tolist()])
    stages = np.array([[noisy_time(P0, target, e, two_stages(e)) for target in TARGETS] for e in FLIPS.tolist()])
    excess = _deviations()
    cold = np.array([noisy_time(p0, TARGETS[0], FLIP, best(FLIP)) for p0 in COLD])
    fixed = np.array(
        [noisy_time(p0, TARGETS[0], FLIP, best_constant_q(float(p0), TARGETS[0], FLIP)) for p0 in COLD.tolist()]
    )
    rest = math.log(1 / FLIP - 1) / math.log(TARGETS[0] / (1 - TARGETS[0]))
    return Evidence(
        (
            Comparison("six families: q of the steepest dP/dt, the rule", steepest, rule, 1e-5, "absolute"),
            Comparison("dP/dt there, that at any other q", *elsewhere, 1e-12, "relative", "<="),
            Comparison("the rule, the root of dg/dq in 100 digits", *_roots(), 1e-12, "absolute"),
            Comparison("P = 1 - e: the rule's q, 0", noise_q_at(1 - FLIPS), np.array(0), 0, "absolute"),
            Comparison("times, flows of theta with the steepest of 2001 q", ours[:, 0], flows[:, 0], 1e-6, "relative"),
            Comparison("two stages, q = 1/2: times, flows of theta", ours[:, 1:], flows[:, 1:], 1e-7, "relative"),
            Comparison(
                "deviations of both signs from the rule: 1, time over the rule's",
                np.array(1),
                1 + excess.min(),
                0,
                "absolute",
                "<=",
            ),
            Comparison(
                "its excess over that of a third of the deviation, 9",
                excess[:, 1] / excess[:, 0],
                np.array(9),
                0.1,
                "relative",
            ),
            Comparison("best P to step from 1 to 0, the law", *_switches(), 1e-6, "absolute"),
            Comparison(
                "two stages over the least time, 2/(e log 2)", stages / least, np.array(BOUND), 0, "absolute", "<="
            ),
            Comparison(
                "largest g over the larger of q = 0 and 1, 2/(e log 2)",
                _gains(FLIPS),
                np.array(BOUND),
                0,
                "absolute",
                "<=",
            ),
            Comparison(
                "the same at the switch, e -> 1/2", _gains(np.array([0.5 - 1e-5])), np.array(BOUND), 1e-4, "relative"
            ),
            Comparison(
                "to P = .95 from p0 -> 0: slope of the least time in log 1/p0, 1/(1-e)",
                np.diff(cold) / -np.diff(np.log(COLD)),
                np.array(1 / (1 - FLIP)),
                1e-9,
                "relative",
            ),
            Comparison(
                "best single q: exponent of the time in p0, that of the q that rests at the target",
                np.diff(np.log(fixed)) / np.diff(np.log(COLD)),
                np.array(rest - 1),
                1e-3,
                "absolute",
            ),
            Comparison(
                "many wrong labels: P where q = 0 and 1 pull alike, P/n² = (1-e)/e", *_many(MANY), 1e-6, "absolute"
            ),
            Comparison(
                "20 wrong labels: the same P, the switch of one",
                _many(20.0)[0],
                np.array([noise_switch(e) for e in FLIPS[1:].tolist()]),
                0.01,
                "absolute",
                "!=",
            ),
            vanishes("dg/dq, g(1) - g(0), the bound", *_symbolic()),
        )
    )


def best(flip_rate: float) -> Callable[[float], float]:
    """The rule as a schedule in log P."""
    return lambda log_p: float(noise_q(log_p, flip_rate))


def two_stages(flip_rate: float) -> Stepwise:
    """SFT up to the switch and RLVR from there, in log P."""
    return Stepwise((1.0, 0.0), (math.log(noise_switch(flip_rate)),))


def noise_q_at(p: np.ndarray) -> np.ndarray:
    """(E,) the rule at P (E,), one for each of FLIPS."""
    return np.array([float(noise_q(float(np.log(at)), e)) for at, e in zip(p, FLIPS.tolist(), strict=True)])


def _searched() -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """The rule and the q of the steepest dP/dt, (30,) by family, flip rate and P; and dP/dt at 11 q and at the rule.

    dP/dt is <grad P, -grad J_q> of the model's own gradients.
    """
    rule, steepest, others, there = [], [], [], []
    for family in FAMILIES.values():
        for e, p in ((0.3, 0.2), (0.3, 0.58), (0.3, 0.62), (0.45, 0.51), (0.45, 0.53)):
            noisy = NoisyLabels(family.model, e)
            fall = partial(_fall, family, noisy, family.start(math.log(p)))
            fastest: Any = minimize_scalar(fall, bounds=(0, 1), method="bounded", options={"xatol": 1e-7})
            rule.append(float(noise_q(math.log(p), e)))
            steepest.append(float(fastest.x))
            others.append([-fall(q) for q in np.linspace(0, 1, 11).tolist()])
            there.append([-fall(rule[-1])])
    return np.array(rule), np.array(steepest), (np.array(others), np.array(there))


def _fall(family: Family, noisy: NoisyLabels, theta: np.ndarray, q: float) -> float:
    """-dP/dt over P."""
    return float(family.model.score(theta) @ noisy.gradient(theta, q))


def _roots() -> tuple[np.ndarray, np.ndarray]:
    """(15,) the rule about the switch, by flip rate and P, and the root of dg/dq, held to [0, 1]."""
    ours, roots = [], []
    for e in FLIPS.tolist():
        flip, places = REALS.mpf(e), 1 / (1 + np.sqrt(e / (1 - e)) * np.array([0.97, 1.0, 1.03]))
        for p in places.tolist():
            right = REALS.mpf(p)
            logs = REALS.log(1 / right), REALS.log(1 / (1 - right))

            def slope(q: Real, flip: Real = flip, logs: tuple[Real, Real] = logs) -> Real:
                return (1 - flip) * logs[0] * REALS.exp(q * logs[0]) - flip * logs[1] * REALS.exp(q * logs[1])

            ours.append(float(noise_q(math.log(p), e)))
            roots.append(float(REALS.findroot(slope, (0, 1), solver="anderson")))
    return np.array(ours), np.clip(roots, 0, 1)


def _flows() -> tuple[np.ndarray, np.ndarray]:
    """(2, 3) of the sigmoid and of ||s|| = 1/P: times to .95 of theta's flow and `noisy_time`, by schedule.

    The schedules: the steepest of ORDERS at every P, two stages, and q = 1/2.
    """
    end, switch = TARGETS[0], noise_switch(FLIP)
    flows, ours = [], []
    for model, start, at in (
        (Sigmoid(), 1e-3, lambda p: np.array([math.log(p / (1 - p))])),
        (Linear(), 0.1, lambda p: np.array([1 - p])),
    ):
        norm = {} if isinstance(model, Sigmoid) else {"norm": lambda log_p: np.exp(-2 * log_p)}
        stages = _flow_time(model, at(start), switch, lambda _: 1.0) + _flow_time(model, at(switch), end, lambda _: 0.0)
        flows.append(
            [
                _flow_time(model, at(start), end, _steepest),
                stages,
                _flow_time(model, at(start), end, lambda _: 0.5),
            ]
        )
        ours.append([noisy_time(start, end, FLIP, q, **norm) for q in (best(FLIP), two_stages(FLIP), 0.5)])
    return np.array(flows), np.array(ours)


def _steepest(p: float) -> float:
    pulls = (1 - FLIP) * p**-ORDERS - FLIP * (1 - p) ** -ORDERS
    return float(ORDERS[pulls.argmax()])


def _flow_time(model: Model, theta: np.ndarray, end: float, q: Callable[[float], float]) -> float:
    """When theta, on the noisy loss of a q chosen by P, reaches a P."""
    noisy = NoisyLabels(model, FLIP)

    solution = solve_ivp(
        lambda _, at: -noisy.gradient(at, q(float(model.p(at)))),
        (0, 1e6),
        theta,
        method="DOP853",
        events=Reached(noisy, 1 - end),
        rtol=1e-9,
        atol=1e-12,
        max_step=0.03 if isinstance(model, Linear) else np.inf,  # beyond P = 1 that model has no label
    )
    return float(solution.t_events[0][0])


def _deviations() -> np.ndarray:
    """(4, len(TRIED)) excess of the time over the least under q* + size q* (1-q*) sin(k X), k of both signs."""
    rows = []
    for e, size in ((FLIP, 2.0), (0.3, 5.0)):
        rule = best(e)
        least = noisy_time(0.5, 0.95, e, rule)
        for k in (-size, size):

            def moved(log_p: float, size: float, k: float = k, rule: Callable[[float], float] = rule) -> float:
                q, logit = rule(log_p), log_p - math.log(-math.expm1(log_p))
                return q + size * q * (1 - q) * math.sin(k * logit)

            rows.append([noisy_time(0.5, 0.95, e, partial(moved, size=size)) / least - 1 for size in TRIED.tolist()])
    return np.array(rows)


def _switches() -> tuple[np.ndarray, np.ndarray]:
    """(2, E) the P at which two stages are best, of the sigmoid in closed form and of ||s|| = 1/P by quadrature."""
    start, end, best_switch = 0.3, 0.99, np.zeros((2, len(FLIPS)))

    def sigmoid(p: float, e: float) -> float:
        odds = p / (1 - p)
        committed = math.log(odds) / (1 - e) - math.log((1 - e) - e * odds) / (e * (1 - e))
        return committed + float(sigmoid_time(p, end, 0.0)) / (1 - 2 * e)

    def linear(p: float, e: float) -> float:
        committed = quad(lambda u: 1 / ((1 - e) / u - e / (1 - u)), start, p, epsrel=1e-12)[0]
        return committed + (end - p) / (1 - 2 * e)

    for row, total in enumerate((sigmoid, linear)):
        for column, e in enumerate(FLIPS.tolist()):
            ends = start, min(0.985, (1 - e) * (1 - 1e-6))
            least: Any = minimize_scalar(total, args=(e,), bounds=ends, method="bounded", options={"xatol": 1e-9})
            best_switch[row, column] = least.x
    return best_switch, np.array([noise_switch(e) for e in FLIPS.tolist()])


def _gains(flips: np.ndarray) -> np.ndarray:
    """(E,) largest g of the rule over the larger of g(0) and g(1), over P from 1/2 on."""
    gains = []
    for e in flips.tolist():
        p = np.append(1 / (1 + np.exp(-np.linspace(0.0, 12, 400))), noise_switch(e))
        ruled, *ends = (
            (1 - e) * p**-q - e * (1 - p) ** -q for q in (noise_q(np.log(p), e), np.zeros_like(p), np.ones_like(p))
        )
        gains.append(float((ruled / np.maximum(*ends)).max()))
    return np.array(gains)


def _many(wrong: float) -> tuple[np.ndarray, np.ndarray]:
    """(E-1,) P where q = 0 and 1 pull a softmax alike that holds equally many wrong labels equal, and the law's P.

    The data show each of the wrong labels with probability e/wrong; the slopes are those of the loss in 100 digits.
    """
    places, law = [], []
    for e in FLIPS[1:].tolist():
        flip = REALS.mpf(e)

        def loss(t: Real, q: int, flip: Real = flip) -> Real:
            labels = REALS.exp(t) / (REALS.exp(t) + wrong), 1 / (REALS.exp(t) + wrong)
            right, wrong_label = (-REALS.log(p) if q else 1 - p for p in labels)
            return (1 - flip) * right + flip * wrong_label

        def gap(logit: float, loss: Callable[..., Real] = loss) -> float:
            t = REALS.log(wrong) + logit
            return float(REALS.diff(partial(loss, q=0), t) - REALS.diff(partial(loss, q=1), t))

        logit: Any = brentq(gap, -0.5, 12.0, xtol=1e-12)
        places.append(1 / (1 + math.exp(-logit)))
        ratio = 1 / e - 1
        law.append(1 - (math.sqrt(1 + 4 * ratio) - 1) / (2 * ratio))
    return np.array(places), np.array(law)


def _symbolic() -> tuple[Any, ...]:
    e, p, n, q = sympy.symbols("e p n q", positive=True)
    pull = (1 - e) * p**-q - e * n**-q
    slope = (1 - e) * p**-q * sympy.log(1 / p) - e * n**-q * sympy.log(1 / n)
    change = pull.subs(q, 1) - pull.subs(q, 0) - ((1 - e) * n**2 - e * p**2) / (n * p)
    gain, top = 2**q * (2 - q) / 2, 2 - 1 / sympy.log(2)
    least = sympy.simplify(gain.subs(q, top) - 2 / (sympy.E * sympy.log(2)))
    return sympy.diff(pull, q) - slope, change.subs(p, 1 - n), sympy.diff(gain, q).subs(q, top), least


QC_9 = Claim(
    label="QC-9",
    statement=(
        "with a share e < 1/2 of wrong labels the fastest schedule is q = 1 up to a P above 1/2, then log((1-e) "
        "log(1/P)/(e log(1/n)))/log(P/n) down to 0, for every model, start and target; one step 1 -> 0 at P = 1/(1 + "
        "sqrt(e/(1-e))), SFT and then RLVR, takes at most 2/(e log 2) = 1.0615 times as long; any single q that "
        "arrives takes a power of 1/p0"
    ),
    verdict="conditional",
    condition=(
        "one question (or all alike) and one wrong label, of probability n = 1 - P; where wrong labels are many and "
        "alike the step is best at P/n² = (1-e)/e. The power is for targets above 1 - e; below it q = 1 arrives too"
    ),
    check=check,
    figure="noise_schedule",
)
