"""v2: SFT followed by RLVR is the flow whose q steps from 1 to 0; its escape time as p0 falls.

That two stages are one schedule is a definition. Its consequence for the escape time is not: the first stage takes
log(1/p0), and the second one starts at the switch.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import sympy
from scipy.integrate import solve_ivp
from scipy.optimize import brentq
from scipy.special import expit

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.support.symbolic import vanishes
from qtheory.escape import family, increment_exponents, sigmoid_time
from qtheory.flow import Stepwise, escape, follow, velocity
from qtheory.flow.schedule import Schedule
from qtheory.models import Sigmoid

P0, DELTA = 1e-4, 0.9
SWITCH = np.array([1e-3, 1e-2, 0.1, 0.5])  # P at which SFT ends
MODEL = Sigmoid()
COLD = ("sigmoid", "latent-sigmoid")
STARTS = np.log([1e-12, 1e-10, 1e-8])
DEEP = np.arange(-300.0, -289.0, 5.0)  # log p0 at which a power of log(1/p0) has a slope below 1e-5
AT = 0.1  # P at the switch


def check() -> Evidence:
    """Two stages solved one after the other with separate losses, against one schedule in P and one in time."""
    start = MODEL.start(math.log(P0))
    stages = np.array([_stages(float(start[0]), float(p)) for p in SWITCH])
    schedules = [Stepwise((1.0, 0.0), (math.log(p),)) for p in SWITCH]
    by_p = follow(
        MODEL.score, lambda at: float(MODEL.log_p(at)), start, math.log(DELTA), [*schedules, 1.0, 0.0]
    ).log_time[0]
    by_time = [_in_time(start, float(t)) for t in stages[:, 0]]
    logarithmic = _exponents(DEEP, lambda _: [Stepwise((1.0, 0.0), (math.log(AT),))])[..., 0]
    powers = _exponents(STARTS, lambda at: [Stepwise((1.0, 0.0), (at / 2,)), Stepwise((0.0, 1.0), (math.log(AT),))])
    alone = sigmoid_time(P0, DELTA, [1.0, 0.0])
    u = sympy.Symbol("u", positive=True)
    odds = sympy.log(u / (1 - u))
    return Evidence(
        (
            Comparison(
                "schedule in P, SFT on -log P then RLVR on 1 - P",
                np.exp(by_p[: len(SWITCH)]),
                stages.sum(-1),
                1e-8,
                "relative",
            ),
            Comparison("schedule in time, the same", np.array(by_time), stages.sum(-1), 1e-8, "relative"),
            Comparison(
                "closed form T_1(p0, p) + T_0(p, d), the same",
                sigmoid_time(P0, SWITCH, 1.0) + sigmoid_time(SWITCH, DELTA, 0.0),
                stages.sum(-1),
                1e-8,
                "relative",
            ),
            Comparison(
                "between T_1 and T_0: T_1 over the schedule's",
                alone[0] / np.exp(by_p),
                np.array(1),
                1e-9,
                "absolute",
                "<=",
            ),
            Comparison(
                "the schedule's over T_0",
                np.exp(by_p) / alone[1],
                np.array(1),
                1e-9,
                "absolute",
                "<=",
            ),
            Comparison(
                "switch at P = .1: exponent of T in p0 at log p0 = -300, 0", logarithmic, np.array(0), 1e-5, "absolute"
            ),
            Comparison("switch at sqrt(p0): exponent, -1/2", powers[..., 0], np.array(-0.5), 2e-3, "absolute"),
            Comparison("q = 0 -> 1 at P = .1: exponent, -1", powers[..., 1], np.array(-1), 1e-6, "absolute"),
            vanishes(
                "closed forms of both stages",
                sympy.diff(odds + 1 / (1 - u), u) - 1 / (u * (1 - u) ** 2),
                sympy.diff(2 * odds + 1 / (1 - u) - 1 / u, u) - 1 / (u**2 * (1 - u) ** 2),
            ),
        )
    )


def _stages(logit: float, switch: float) -> tuple[float, float]:
    """Times of two gradient descents of the logit, of SFT's loss down to a switch and then of RLVR's.

    Their slopes are written out: of -log sigma(x), -(1 - sigma(x)); of 1 - sigma(x), -sigma(x) (1 - sigma(x)).
    """
    slopes = (lambda x: expit(-x), lambda x: expit(x) * expit(-x))
    times = []
    for slope, end in zip(slopes, (switch, DELTA), strict=True):
        target = math.log(end / (1 - end))

        def left(t: float, slope: Any = slope, begin: float = logit, target: float = target) -> float:
            solution = solve_ivp(lambda _, x: slope(x), (0, t), [begin], method="DOP853", rtol=1e-11, atol=1e-12)
            return solution.y[0, -1] - target

        longest = 1.0
        while left(longest) < 0:
            longest *= 2
        root: Any = brentq(left, 0, longest, xtol=1e-12)
        times.append(float(root))
        logit = target
    return times[0], times[1]


def _exponents(log_p0: np.ndarray, schedules: Callable[[float], list[Schedule]]) -> np.ndarray:
    """(2, 1, S) exponents, from increments of T between three starts; schedules in log P may depend on the start."""
    exponents = []
    for name in COLD:
        cold, times = family(name), []
        for start in log_p0.tolist():
            path = follow(
                cold.model.score,
                lambda at, cold=cold: float(cold.model.log_p(at)),
                cold.start(start),
                math.log(0.5),
                schedules(start),
                rtol=1e-10,
                atol=1e-11,
            )
            times.append(path.log_time[0])
        exponents.append(increment_exponents(log_p0, np.array(times)))
    return np.array(exponents)


def _in_time(start: np.ndarray, switch: float) -> float:
    """The escape time under a schedule that steps at a given time."""
    schedule = Stepwise((1.0, 0.0), (switch,))

    def scores(theta: np.ndarray) -> np.ndarray:
        return MODEL.score(theta)[..., None, :]

    def log_p(theta: np.ndarray) -> np.ndarray:
        return MODEL.log_p(theta)[..., None]

    flow = velocity(scores, log_p, schedule)
    return float(escape(flow, scores, log_p, start, math.log(DELTA), 1e9, steps=schedule.at).time[0])


V2 = Claim(
    label="v2",
    statement=(
        "SFT on -log P and then RLVR on 1 - P is the stepwise schedule q = 1 -> 0: T_1(p0, p) + T_0(p, d), between T_1 "
        "and T_0. From a cold start it takes log 1/p0 with a switch at a given P, p0^-a with one at p0^a; q = 0 -> 1 "
        "takes 1/p0"
    ),
    verdict="holds",
    condition=None,
    check=check,
    figure="trajectories",
)
