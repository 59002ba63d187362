"""Every public function of the theory beside values that it must refuse: one line with the argument, value and mend."""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from flow_models import logistic, sigmoid_log_p, sigmoid_score

from figures.exact.cases import task
from qtheory import escape, estimators, exact, flow, montecarlo, tsallis
from qtheory.escape import adam, measured

NAN, INF = math.nan, math.inf
GRAD = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
NO_NUMBERS = ("0.5", ["0.5"], None, True, np.array([True, False]), [None], 1j, [[0.1], [0.1, 0.2]], GRAD, object())

KINDS: dict[str, tuple[Any, ...]] = {
    "order": (1.5, -0.1, NAN, [0.5, 2.0], *NO_NUMBERS),
    "single order": (1.5, -0.1, NAN, [0.5, 0.6], *NO_NUMBERS),
    "pool order": (1.5, -0.1, NAN, "0.5", ["0.5"], None, True, np.array([True]), [0.5], np.zeros((3, 2)), GRAD),
    "rows' order": (1.5, -0.1, NAN, "0.5", ["0.5"], None, True, np.array([True]), [0.5], GRAD),
    "orders": (1.5, [0.5, NAN], [-0.1], [True], ["0.5"], None, True, [None], GRAD),
    "schedules": (0.5, "ab", [1.5], [NAN], ["0.5"], [None], [True]),
    "probability": (0.0, 1.0, 2, -0.1, NAN, INF, *NO_NUMBERS),
    "single probability": (0.0, 1.0, NAN, [0.2, 0.25], *NO_NUMBERS),
    "starts": (0.0, 1.0, 1e-310, NAN, -0.1, 0.9, *NO_NUMBERS),
    "log probability": (0.0, 0.5, NAN, -INF, *NO_NUMBERS),
    "increasing": (-1.0, [0.0, NAN, 1.0], [1.0, 0.0, 2.0], [0.0, 1.0], "abc", None, [True, False, True]),
    "falling": ([3.0, 4.0, 5.0], [3.0, NAN, 1.0], [3.0, 2.0], "abc", None),
    "times": ([3.0, NAN, 1.0], [3.0, INF, 1.0], [3.0, 2.0], "abc", None),
    "positive": (0.0, -1.0, NAN, INF, *NO_NUMBERS),
    "single positive": (0.0, -1.0, NAN, INF, [0.1, 0.2], *NO_NUMBERS),
    "non-negative": (-1.0, NAN, INF, *NO_NUMBERS),
    "single non-negative": (-1.0, NAN, INF, [0.1, 0.2], *NO_NUMBERS),
    "minority": (0.0, 0.5, 0.7, -0.1, NAN, "0.1", None, True, [0.1], np.array([0.1])),
    "transform": (-1.0, NAN, INF, *NO_NUMBERS),
    "fraction": (1.0, -0.1, NAN, [0.1, 0.2], *NO_NUMBERS),
    "negative": (0.0, 0.5, NAN, [-0.1, -0.2], *NO_NUMBERS),
    "targets": (0.0, 0.5, NAN, -9.0, [-0.5, -0.9], [[-0.9], [-0.5]], *NO_NUMBERS),
    "count": (0, -3, 2.0, "2", None, True, [2, 0], NAN),
    "counts": (0, -3, 2.0, [2, 0], "2", None, True, np.array([True]), [[1], [1, 2]]),
    "limit": (-1, 2.0, "2", None, True),
    "draws": (1, 2.0, "2", None, True),
    "optional count": (0, -3, 2.0, "2", True),
    "vector": ([], [[1.0]], [NAN], [INF], "abc", None, [True], ["1"]),
    "parameters": (1.0, [NAN], [INF], "abc", None, [True], ["1"]),
    "steps": ([2.0, 1.0], [0.0], [NAN], 1.0, "ab", None, ["1"]),
    "places": ([2.0, 1.0], [1.0, NAN], [1.0], 1.0, "ab", None, ["1"]),
    "weights of examples": ([-1.0], [NAN], [INF], 1.0, [[1.0]], "a", ["1"], [True]),
    "distribution": ([0.5, 0.6], [0.5, NAN], [-0.5, 1.5], [1.0], 0.5, "ab", None, [True, False]),
    "weights": ([0.5, -1.0], [0.5, NAN], [0.5, INF], [0.5], 0.5, "ab", None, [True, False]),
    "relative": ([0.5, -1.0], [0.5, NAN], [0.5, 0.5], [1.0], "ab", None),
    "measurements": ([1.0], [1.0, -1.0], [1.0, NAN], [[1.0, 1.0]], "ab", None, ["1", "2"]),
    "places of measurements": ([-1.0], [-1.0, 0.5], [-1.0, NAN], "ab", None, ["1", "2"]),
    "norm": (1.0, None, "norm", lambda at: -np.ones_like(at), lambda at: at[:1], lambda at: NAN * at, str),
    "function": (1.0, None, "f", [1]),
    "optimiser": (0.1, None, "Adam", flow.Adam),
    "name": ("sigmod", "", None, 3, ["sigmoid"]),
    "family": ("sigmoid", None, 3),
    "estimator": ("gral", None, 3, ["garl"]),
    "params": (None, "q", 0.5, {"q": 1.5}, {"q": None}, {"k": 2}, {}),
    "rng": (None, 0, np.random.RandomState(0)),
    "form": ("plugn", None, 3, ["plugin"]),
    "task": (None, "task", np.zeros(3)),
    "tasks": (None, "task", [], [None]),
    "multiplier": (NAN, INF, "1", True, [None], np.array([True])),
    "set size": (0, -3, 3, 2.0, "2", None, True),
    "lengths": (0, NAN, INF, [3.0, 4.0], "3", ["3"], None, True),
    "possible pool": (
        np.array([0.5, 0.1]),
        np.array([-INF, -1.0]),
        np.array([NAN, 0.0]),
        np.array([0, 0]),
        [0.0],
        None,
    ),
    "single multiplier": (-1.0, NAN, INF, "1", None, True, [1.0, 2.0]),
    "P": (1.25, -0.5, NAN, "0.5", None, True, [0.5], np.array([1]), np.array([True])),
    "log P": (0.5, NAN, "0.5", None, True, [0.5], np.array([1]), np.array([True])),
    "P of rows": (np.array([0.5, 1.25]), np.zeros(2), np.array(0.5), np.ones((2, 0)), 0.5, "ab", None, [0.5]),
    "log P of rows": (np.array([-0.5, 0.5]), np.full(2, -INF), np.array(-0.5), -0.5, "ab", None, [-0.5]),
    "pool": (
        np.array([0.5, 0.1]),
        np.array([NAN, 0.0]),
        np.array(0.0),
        np.zeros((2, 0)),
        np.array([0, 0]),
        [0.0],
        None,
    ),
    "rewards": (
        np.array([NAN, 0.0]),
        np.array([INF, 0.0]),
        np.array(0.0),
        np.zeros((2, 0)),
        np.array([0, 1]),
        [0.0],
        "r",
    ),
    "single alpha": (0.0, 1.5, -0.5, NAN, INF, "1", None, True, [0.5, 0.6]),
    "pool ratio": (
        np.zeros(3),
        np.array([INF, 1.0]),
        np.array([NAN, 1.0]),
        np.array([0, 1]),
        torch.ones(2),
        [0.0],
        1.0,
    ),
    "log mu": ([-0.7, -0.7], [0.0, 0.0, 0.0], [0.5, -1.0, -1.0], [NAN, -1.0, -1.0], "a", [True]),
    "log P of prompts": (
        np.array([0.5, -1.0]),
        np.array([NAN, -1.0]),
        np.array(-1.0),
        np.zeros(0),
        -1.0,
        [-1.0],
        np.array([-1]),
        None,
    ),
    "total": (-1, 2.0, "2", None, True),
    "pool counts": (np.zeros(3), np.array([-1.0, 1.0]), np.array([NAN, 1.0]), np.array([0, 1]), torch.ones(2), None),
    "flag": ("no", 1, None, [True]),
    "baseline": ("LOO", None, 1, ["loo"]),
    "spread": (-1.0, NAN, "1", None, True, [1.0]),
}
"""Values that an argument of each kind must refuse."""


@dataclass(frozen=True)
class Entry:
    """A function with arguments that it accepts, and the kinds of those that are to be refused.

    Attributes:
        function: The function or class.
        good: Arguments by name.
        kinds: Their kinds, by name.
        says: What messages may call an argument, where that is not its name.
    """

    function: Callable[..., Any]
    good: dict[str, Any]
    kinds: dict[str, str]
    says: dict[str, tuple[str, ...]] = field(default_factory=dict)


def probabilities(function: Callable[..., Any], name: str, kind: str, value: Any) -> Entry:
    """A function of the module tsallis."""
    return Entry(function, {name: value, "q": 0.5}, {name: kind, "q": "rows' order"})


ONE = logistic([[1.0]])
EXAMPLE = task((0.3, 0.5, 0.2), (-1.0, -2.0, -0.5))
POOL = np.array([-1.0, -2.0])
SIGMOID = {"p0": 1e-3, "delta": 0.5, "q": 0.5}
LOG_SIGMOID = {"log_p0": -9.0, "delta": 0.5, "q": 0.5}
LAW = {"prior": [0.5, 0.5], "relative": [0.5, 1.5]}
COLD = {"q": 0.5, "samples": 4, "lr": 0.1, "score_norm": 1.0}
COLD_KINDS = {"q": "order", "samples": "count", "lr": "positive", "score_norm": "positive"}
NOISY = {"p0": 1e-3, "delta": 0.6, "flip_rate": 0.2, "norm": measured.constant_norm}
NOISY_KINDS = {"p0": "starts", "delta": "single probability", "flip_rate": "minority", "norm": "norm"}
ADAM = {"log_p0": -9.0, "delta": 0.5, "q": 0.5, "lr": 1e-3, "eps": 1e-8, "score_norm": 1.0}
ADAM_KINDS = {
    "log_p0": "log probability",
    "delta": "probability",
    "lr": "positive",
    "eps": "non-negative",
    "score_norm": "positive",
}
DIRECT = {
    "velocity": flow.velocity(*ONE, 0.5),
    "scores": ONE[0],
    "log_p": ONE[1],
    "theta": [-3.0],
    "target": -0.7,
    "horizon": 1e6,
    "steps": (),
    "rtol": 1e-9,
    "atol": 1e-9,
}
MOMENTS = {"task": EXAMPLE, "q": 0.5, "M": 3}
MOMENT_KINDS = {"task": "task", "q": "order", "M": "counts"}
GARL = {"log_w": POOL, "q": 0.5, "normalize": False, "multiplier": 1.0}
GARL_KINDS = {"log_w": "pool", "q": "pool order", "normalize": "flag", "multiplier": "single multiplier"}
PAFT = {"log_w": POOL, "q": 0.5, "k": 3, "rng": np.random.default_rng(0), "normalize": False, "log_ratio": np.ones(2)}
PAFT_KINDS = {
    "log_w": "pool",
    "q": "pool order",
    "k": "optional count",
    "rng": "rng",
    "normalize": "flag",
    "log_ratio": "pool ratio",
}
CORRECTED = {"log_w": POOL, "q": 0.5, "baseline": "loo"}
CORRECTED_KINDS = {"log_w": "pool", "q": "pool order", "baseline": "baseline"}

TABLE = [
    Entry(escape.sigmoid_time, SIGMOID, {"p0": "starts", "delta": "probability", "q": "order"}),
    Entry(escape.log_sigmoid_time, LOG_SIGMOID, {"log_p0": "log probability", "delta": "probability", "q": "order"}),
    Entry(
        escape.hard_time,
        {**SIGMOID, "samples": 4},
        {"p0": "starts", "delta": "probability", "q": "order", "samples": "count"},
    ),
    Entry(
        escape.soft_time,
        {**SIGMOID, "samples": 4, **LAW},
        {
            "p0": "starts",
            "delta": "probability",
            "q": "order",
            "samples": "count",
            "prior": "distribution",
            "relative": "relative",
        },
    ),
    Entry(
        escape.mean_power,
        {"prior": [0.5, 0.5], "w": [0.1, 0.3], "q": 0.5, "samples": 4},
        {"prior": "distribution", "w": "weights", "q": "single order", "samples": "count"},
    ),
    Entry(
        escape.jump, {k: v for k, v in COLD.items() if k != "p0"}, {k: v for k, v in COLD_KINDS.items() if k != "p0"}
    ),
    Entry(escape.escape_law, {**COLD, "p0": 1e-3}, {**COLD_KINDS, "p0": "probability"}),
    Entry(escape.EscapeLaw, {"rate": 1e-3, "kappa": 0.5}, {"rate": "positive", "kappa": "positive"}),
    Entry(escape.EscapeLaw(1.0, 0.5).log_laplace, {"s": 0.1}, {"s": "transform"}),
    Entry(escape.EscapeLaw(1.0, 0.5).quantile, {"level": 0.1}, {"level": "probability"}),
    *(
        Entry(getattr(escape.EscapeLaw(1.0, 0.5), name), {"steps": 0.1}, {"steps": "non-negative"})
        for name in ("log_density", "log_cdf", "log_survival")
    ),
    Entry(
        escape.equilibrium,
        {"flip_rate": 0.2, "q": 0.5},
        {"flip_rate": "single probability", "q": "single order"},
    ),
    Entry(
        escape.contamination_time,
        {"start": 1e-3, "end": 1e-2, "flip_rate": 0.2, "q": 0.5, "norm": np.square},
        {
            "start": "single probability",
            "end": "single probability",
            "flip_rate": "single probability",
            "q": "single order",
            "norm": "norm",
        },
    ),
    Entry(escape.noise_switch, {"flip_rate": 0.2}, {"flip_rate": "minority"}),
    Entry(escape.noisy_time, {**NOISY, "q": 0.5}, {**NOISY_KINDS, "q": "single order"}),
    Entry(escape.best_constant_q, NOISY, NOISY_KINDS),
    Entry(
        escape.local_exponents,
        {"log_p0": [0.0, 1.0, 2.0], "log_time": [3.0, 2.0, 1.0]},
        {"log_p0": "increasing", "log_time": "times"},
    ),
    Entry(
        escape.increment_exponents,
        {"log_p0": [0.0, 1.0, 2.0], "log_time": [3.0, 2.0, 0.0]},
        {"log_p0": "increasing", "log_time": "falling"},
    ),
    Entry(escape.family, {"name": "sigmoid"}, {"name": "name"}, says={"name": ("task",)}),
    Entry(
        escape.log_family_times,
        {"model_family": escape.family("sigmoid"), "log_p0": -3.0, "delta": 0.5, "q": [0.5], "rtol": 1e-9},
        {
            "model_family": "family",
            "log_p0": "log probability",
            "delta": "single probability",
            "q": "orders",
            "rtol": "single positive",
        },
    ),
    Entry(
        escape.family_exponents,
        {"log_p0": [-5.0, -4.0, -3.0], "delta": 0.5, "q": [0.5], "names": ["sigmoid"]},
        {"log_p0": "increasing", "delta": "single probability", "q": "orders"},
    ),
    Entry(
        escape.escape_rows,
        {"task": "sigmoid", "p0": [1e-3], "q": [0.5], "delta": 0.5},
        {"task": "name", "p0": "starts", "q": "orders", "delta": "single probability"},
    ),
    Entry(
        escape.exponent_rows,
        {"task": "sigmoid", "p0": [1e-3, 1e-2, 1e-1], "q": [0.5], "delta": 0.5},
        {"task": "name", "p0": "starts", "q": "orders", "delta": "single probability"},
    ),
    Entry(
        measured.measured_time,
        {**SIGMOID, "norm": measured.constant_norm},
        {"p0": "starts", "delta": "single probability", "q": "single order", "norm": "norm"},
    ),
    Entry(
        measured.interpolated_norm,
        {"log_p": [-2.0, -1.0], "norm_sq": [1.0, 2.0]},
        {"log_p": "places of measurements", "norm_sq": "measurements"},
        says={"norm_sq": ("norm_sq", "||s||^2")},
    ),
    Entry(adam.adam_time, ADAM, {**ADAM_KINDS, "q": "order"}),
    Entry(
        adam.critical_q,
        {**{k: v for k, v in ADAM.items() if k != "q"}, "steps": 1e5},
        {**ADAM_KINDS, "steps": "positive"},
    ),
    Entry(
        adam.memory_gain,
        {"q": 0.5, "lr": 1e-3, "score_norm": 1.0, "beta1": 0.9, "beta2": 0.99},
        {
            "q": "single order",
            "lr": "single positive",
            "score_norm": "single positive",
            "beta1": "fraction",
            "beta2": "fraction",
        },
    ),
    Entry(
        flow.follow,
        {
            "score": sigmoid_score,
            "log_p": sigmoid_log_p,
            "theta": [-3.0],
            "targets": -0.7,
            "q": [0.5],
            "rtol": 1e-9,
            "atol": 1e-9,
        },
        {
            "score": "function",
            "log_p": "function",
            "theta": "vector",
            "targets": "targets",
            "q": "schedules",
            "rtol": "single positive",
            "atol": "single positive",
        },
    ),
    Entry(
        flow.escape,
        DIRECT,
        {
            "velocity": "function",
            "scores": "function",
            "log_p": "function",
            "theta": "vector",
            "target": "negative",
            "horizon": "single positive",
            "steps": "steps",
            "rtol": "single positive",
            "atol": "single positive",
        },
    ),
    Entry(
        flow.steps_to,
        {
            "velocity": DIRECT["velocity"],
            "log_p": ONE[1],
            "theta": [-3.0],
            "target": -0.7,
            "optimiser": flow.Sgd(0.1),
            "limit": 3,
        },
        {
            "velocity": "function",
            "log_p": "function",
            "theta": "parameters",
            "target": "negative",
            "optimiser": "optimiser",
            "limit": "limit",
        },
    ),
    Entry(
        lambda **given: flow.velocity(**given)(np.array([-3.0]), 0.0),
        {"scores": ONE[0], "log_p": ONE[1], "q": 0.5, "weights": [1.0]},
        {"scores": "function", "log_p": "function", "q": "order", "weights": "weights of examples"},
    ),
    Entry(
        flow.Stepwise,
        {"values": [1.0, 0.0, 0.5], "at": [1.0, 2.0]},
        {"values": "schedules", "at": "places"},
        says={"values": ("values", "q is"), "at": ("at is", "at[", "at has", "steps")},
    ),
    Entry(flow.Sgd, {"rate": 0.1, "momentum": 0.5}, {"rate": "single positive", "momentum": "fraction"}),
    Entry(
        flow.Adam,
        {"rate": 0.1, "beta1": 0.5, "beta2": 0.5, "epsilon": 0.1},
        {"rate": "single positive", "beta1": "fraction", "beta2": "fraction", "epsilon": "single non-negative"},
    ),
    Entry(exact.moments, {**MOMENTS, "form": "plugin"}, {**MOMENT_KINDS, "form": "form"}),
    Entry(exact.moments, {**MOMENTS, "form": "paft", "K": 2}, {"K": "optional count"}),
    Entry(exact.moments, {**MOMENTS, "form": "rloo", "multiplier": 1.0}, {"multiplier": "multiplier"}),
    Entry(
        exact.moments_of_tasks,
        {"tasks": [EXAMPLE], "q": 0.5, "M": 3},
        {"tasks": "tasks", "q": "order", "M": "counts"},
    ),
    Entry(
        exact.reweighted_moments,
        {**MOMENTS, "form": "rloo", "alpha": 0.5, "log_mu": np.log([0.5, 0.2, 0.3]), "multiplier": 1.0},
        {**MOMENT_KINDS, "form": "form", "alpha": "single alpha", "log_mu": "log mu", "multiplier": "multiplier"},
    ),
    Entry(
        exact.best_alpha,
        {"task": EXAMPLE, "M": 3, "rescaled": False},
        {"task": "task", "M": "counts", "rescaled": "flag"},
    ),
    Entry(
        exact.poisson_limit,
        {"successes": 2.0, "q": 0.5, "spread": 1.0},
        {"successes": "positive", "q": "order", "spread": "non-negative"},
    ),
    Entry(
        escape.poisson_time,
        {"start": 0.5, "end": 2.0, "q": 0.5},
        {"start": "positive", "end": "positive", "q": "order"},
        says={"end": ("end", "start")},
    ),
    Entry(exact.mean, MOMENTS, MOMENT_KINDS),
    Entry(exact.baseline_multiplier, MOMENTS, MOMENT_KINDS),
    Entry(
        montecarlo.simulate,
        {
            "task": EXAMPLE,
            "estimator": "garl",
            "params": {"q": 0.5},
            "samples": 3,
            "draws": 4,
            "rng": np.random.default_rng(0),
        },
        {
            "task": "task",
            "estimator": "estimator",
            "params": "params",
            "samples": "count",
            "draws": "draws",
            "rng": "rng",
        },
        says={"params": ("params", "parameter", "q is")},
    ),
    *(
        probabilities(function, "p", "P", 0.5)
        for function in (tsallis.log_q, tsallis.loss, tsallis.amplification, tsallis.attenuation)
    ),
    *(
        probabilities(function, "log_p", "log P", -0.5)
        for function in (
            tsallis.log_q_from_log,
            tsallis.loss_from_log,
            tsallis.amplification_from_log,
            tsallis.attenuation_from_log,
        )
    ),
    *(probabilities(function, "x", "log P", -0.5) for function in (tsallis.exp_q, tsallis.log_exp_q)),
    probabilities(tsallis.escort, "a", "P of rows", np.array([0.5, 0.2])),
    probabilities(tsallis.escort_from_log, "log_a", "log P of rows", np.array([-0.5, -0.2])),
    Entry(
        estimators.garl,
        {**GARL, "baseline": "loo", "alpha": 0.5, "log_ratio": np.zeros(2)},
        {**GARL_KINDS, "baseline": "baseline", "alpha": "single alpha", "log_ratio": "pool ratio"},
    ),
    Entry(
        estimators.garl_weighted,
        {**GARL, "score_norm_sq": np.ones(2)},
        {**GARL_KINDS, "score_norm_sq": "pool counts"},
    ),
    Entry(estimators.paft, PAFT, PAFT_KINDS),
    Entry(
        estimators.paft_from_counts,
        {"log_w": POOL, "q": 0.5, "counts": np.ones(2), "normalize": False, "log_ratio": np.ones(2)},
        {
            "log_w": "pool",
            "q": "pool order",
            "counts": "pool counts",
            "normalize": "flag",
            "log_ratio": "pool ratio",
        },
    ),
    Entry(
        estimators.resample,
        {k: PAFT[k] for k in ("log_w", "k", "rng", "log_ratio")},
        {k: PAFT_KINDS[k] for k in ("log_w", "k", "rng", "log_ratio")},
    ),
    Entry(
        estimators.trice,
        {k: PAFT[k] for k in ("log_w", "k", "rng")},
        {k: PAFT_KINDS[k] for k in ("log_w", "k", "rng")},
    ),
    *(
        Entry(function, CORRECTED, CORRECTED_KINDS)
        for function in (estimators.jackknife, estimators.delta, estimators.u_series)
    ),
    *(
        Entry(function, {"log_w": POOL, "baseline": "loo"}, {"log_w": "pool", "baseline": "baseline"})
        for function in (estimators.iwae, estimators.rb_rloo)
    ),
    Entry(estimators.bound, {"log_w": POOL, "q": 0.5}, {"log_w": "pool", "q": "pool order"}),
    *(
        Entry(function, {"log_w": POOL}, {"log_w": "possible pool"})
        for function in (estimators.jepo, estimators.logprob)
    ),
    Entry(
        estimators.logprob_mean,
        {"log_w": POOL, "answer_length": 3},
        {"log_w": "possible pool", "answer_length": "lengths"},
    ),
    Entry(estimators.rb_pkpo, {"log_w": POOL, "k": 2}, {"log_w": "pool", "k": "set size"}),
    Entry(estimators.pkpo, {"reward": np.ones(2), "k": 2}, {"reward": "rewards", "k": "set size"}),
    Entry(estimators.grpo, {"reward": np.ones(2), "scale_by_std": True}, {"reward": "rewards", "scale_by_std": "flag"}),
    *(
        Entry(function, {"reward": np.ones(2)}, {"reward": "rewards"})
        for function in (estimators.dr_grpo, estimators.rloo, estimators.maxrl, estimators.star, estimators.sign)
    ),
    Entry(
        estimators.allocate,
        {"log_p": np.array([-1.0, -2.0]), "total": 5, "q": 0.5, "rho": 1.0, "least": 1},
        {
            "log_p": "log P of prompts",
            "total": "total",
            "q": "single order",
            "rho": "single non-negative",
            "least": "limit",
        },
    ),
    Entry(
        estimators.draw_gain,
        {"log_p": -1.0, "samples": 3, "rho": 1.0},
        {"log_p": "log P", "samples": "limit", "rho": "single non-negative"},
    ),
    Entry(
        estimators.best_q,
        {"log_p": -1.0, "samples": 3, "rho": 1.0},
        {"log_p": "log P", "samples": "count", "rho": "spread"},
    ),
    Entry(estimators.noise_q, {"log_p": -1.0, "flip_rate": 0.2}, {"log_p": "log P", "flip_rate": "minority"}),
    Entry(estimators.get, {"name": "garl"}, {"name": "estimator"}, says={"name": ("estimator",)}),
]
UNCHECKED = {
    "escape_table",  # rows of escape_rows or exponent_rows
    "escape_csv",
    "escape_json",
    "constant_norm",  # any array
    "power_from_log",  # unchecked, as it says
}
CASES = [
    pytest.param(entry, name, bad, id=f"{getattr(entry.function, '__name__', '')}-{name}-{i}")
    for entry in TABLE
    for name, kind in entry.kinds.items()
    for i, bad in enumerate(KINDS[kind])
]


@pytest.mark.parametrize(("entry", "name", "bad"), CASES)
def test_a_bad_value_is_refused_in_one_line(entry: Entry, name: str, bad: Any):
    with pytest.raises((TypeError, ValueError)) as refusal:
        entry.function(**{**entry.good, name: bad})
    message = str(refusal.value)
    assert "\n" not in message
    assert len(message) < 250
    assert any(called in message for called in entry.says.get(name, (name,))), message
    # After a colon or a semicolon it says what to pass instead.
    assert (message.partition(":")[2] or message.partition(";")[2]).strip(), message
    if isinstance(bad, str) and bad:
        assert repr(bad) in message, message
    elif isinstance(bad, int | float) and not isinstance(bad, bool) and "shape" not in message:
        assert repr(bad) in message or repr(float(bad)) in message, message


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: getattr(entry.function, "__name__", ""))
def test_the_good_values_are_taken(entry: Entry):
    entry.function(**entry.good)


def public_functions(module: ModuleType) -> set[str]:
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    ]
    return {name for name in names if inspect.isfunction(getattr(module, name))}


def test_every_public_function_is_in_the_table():
    covered = {getattr(entry.function, "__name__", "") for entry in TABLE} | UNCHECKED | {"velocity"}
    for module in (escape, adam, measured, flow, exact, montecarlo, tsallis, estimators):
        assert public_functions(module) <= covered, module.__name__


@pytest.mark.parametrize("q", [1, np.int64(1), np.float32(1), np.float64(1), np.uint8(1)])
def test_one_q_is_one_q_for_all(q: Any):
    assert np.array_equal(estimators.garl(POOL, q).answer, estimators.garl(POOL, 1.0).answer)
    assert exact.moments(EXAMPLE, q, np.int32(3)).variance == exact.moments(EXAMPLE, 1.0, 3).variance
    assert escape.sigmoid_time(1e-3, 0.5, q) == escape.sigmoid_time(1e-3, 0.5, 1.0)
    assert tsallis.log_q(0.5, q) == tsallis.log_q(0.5, 1.0)
    assert flow.Stepwise([q, 0], [1])(0.0) == 1
    best: Any = estimators.best_q
    assert best(-np.int64(1), np.int64(3), np.int64(1)) == best(-1.0, 3, 1.0)


def test_lists_integers_and_tensors_are_numbers_too():
    expected = escape.sigmoid_time(np.array([0.1, 0.2]), 0.5, 1.0)
    for p0 in ([0.1, 0.2], (0.1, 0.2), torch.tensor([0.1, 0.2], dtype=torch.float64)):
        np.testing.assert_array_equal(escape.sigmoid_time(p0, 0.5, 1), expected)
    assert exact.moments(EXAMPLE, [0, 1], [2, 3]).variance.shape == (2,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: exact.moments(EXAMPLE, 0.5, 0), "M is 0: at least one draw is needed"),
        (lambda: exact.moments(EXAMPLE, 0.5, np.array([3, -2])), "M[1] is -2: at least one draw is needed"),
        (
            lambda: exact.moments(EXAMPLE, None, 2),
            "q is None, a NoneType: pass a number or an array of numbers in [0, 1]",
        ),
        (
            lambda: exact.moments(EXAMPLE, ["0.5"], 2),
            "q is ['0.5'], a list: pass a number or an array of numbers in [0, 1]",
        ),
        (
            lambda: exact.moments(EXAMPLE, np.array([True]), 2),
            "q is array([ True]), a ndarray: pass a number or an array of numbers in [0, 1]",
        ),
        (lambda: escape.sigmoid_time("0.1", 0.5, 0.5), "p0 is '0.1', a str: pass a number or an array of numbers"),
        (lambda: escape.sigmoid_time(GRAD, 0.6, 0.5), "p0 requires grad: pass p0.detach()"),
        (
            lambda: escape.sigmoid_time([0.1, 0.2], 0.5, [0.1, 0.2, 0.3]),
            "p0, delta and q have shapes (2,), () and (3,): they must broadcast",
        ),
        (
            lambda: escape.sigmoid_time([0.1, 0.2], [0.5, 0.6, 0.7], 0.5),
            "p0 and delta have shapes (2,) and (3,): they must broadcast",
        ),
        (
            lambda: measured.interpolated_norm([-1, -2], [1.0]),
            "log_p has 2 entries and norm_sq 1: pass one ||s||^2 for each log P",
        ),
        (lambda: measured.measured_time(0.1, 0.5, 2, measured.constant_norm), "q is 2.0: q must lie in [0, 1]"),
        (
            lambda: flow.escape(**{**DIRECT, "scores": lambda at: np.stack([at, at])}),
            "scores has shape (2, 1): (1, 1) is needed, as theta and log_p have it",
        ),
        (
            lambda: flow.velocity(*ONE, 0.5, weights=[0.5, 0.5])(np.array([-3.0]), 0.0),
            "weights has 2 entries for 1 examples: pass one for each",
        ),
        (
            lambda: flow.velocity(*ONE, [0.5, 0.6, 0.7])(np.zeros((2, 1)), 0.0),
            "q and theta have shapes (3,) and (2,): they must broadcast",
        ),
        (
            lambda: estimators.paft_from_counts(POOL, 0.5, torch.ones(2)),
            "counts is of type Tensor and log_w of type ndarray: pass both in one library",
        ),
        (lambda: estimators.ESTIMATORS["garl"].q_of({"q": 2}), "q is 2.0: q must lie in [0, 1]"),
    ],
)
def test_messages_word_by_word(call: Callable[[], Any], message: str):
    with pytest.raises((TypeError, ValueError)) as refusal:
        call()
    assert str(refusal.value) == message
