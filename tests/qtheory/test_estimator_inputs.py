"""What the estimators refuse, and that the message names the argument and the value."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from array_libraries import Library

from qtheory.estimators import (
    ESTIMATORS,
    Estimator,
    garl,
    garl_weighted,
    maxrl,
    paft,
    paft_from_counts,
    resample,
    star,
    trice,
)

every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
WITH_Q = [pytest.param(e, id=e.name) for e in ESTIMATORS.values() if "q" in e.parameters]
STOCHASTIC = [pytest.param(e, id=e.name) for e in ESTIMATORS.values() if e.stochastic]
with_q = pytest.mark.parametrize("estimator", WITH_Q)
stochastic = pytest.mark.parametrize("estimator", STOCHASTIC)
POOL = [-1.0, -2.0]


def call(estimator: Estimator, pool: Any, **keywords: Any) -> Any:
    """Call with q = .5, k = 1, an answer of 3 tokens and a fresh generator where they are needed."""
    defaults: dict[str, Any] = {"q": 0.5} if "q" in estimator.parameters else {}
    if "k" in estimator.parameters and estimator.parameters["k"].required:
        defaults["k"] = 1
    if estimator.needs_answer_length:
        defaults["answer_length"] = 3
    if estimator.stochastic:
        defaults["rng"] = np.random.default_rng(0)
    if estimator.needs_score_norm:
        defaults["score_norm_sq"] = pool
    return estimator.function(pool, **(defaults | keywords))


@every_estimator
def test_pools_of_a_wrong_shape(library: Library, estimator: Estimator):
    with pytest.raises(ValueError, match=rf"{estimator.inputs} has shape \(2, 0\), so M = 0"):
        call(estimator, library.array(np.zeros((2, 0))))
    with pytest.raises(ValueError, match=rf"{estimator.inputs} is the 0-d 0.0: the last axis must hold the M"):
        call(estimator, library.array(0.0))


@every_estimator
@pytest.mark.parametrize("dtype", ["int64", "bool", "complex128"])
def test_pools_of_a_wrong_dtype(library: Library, estimator: Estimator, dtype: str):
    with pytest.raises(TypeError, match=rf"{estimator.inputs} has dtype .*{dtype}: pass float32 or float64"):
        call(estimator, library.array([0, 0], dtype))


@every_estimator
@pytest.mark.parametrize("pool", [[0.0, 0.0], 0.0, None, "pool"])
def test_pools_that_are_no_arrays(estimator: Estimator, pool: Any):
    with pytest.raises(TypeError, match=rf"{estimator.inputs} is .*, a {type(pool).__name__}: pass a numpy, torch"):
        call(estimator, pool)


@every_estimator
def test_tensors_on_a_graph_or_of_half_precision(estimator: Estimator):
    with pytest.raises(ValueError, match=rf"{estimator.inputs} requires grad: pass {estimator.inputs}.detach\(\)"):
        call(estimator, torch.zeros(2, requires_grad=True))
    with pytest.raises(TypeError, match=rf"{estimator.inputs} has dtype torch.bfloat16: pass float32 or float64"):
        call(estimator, torch.zeros(2, dtype=torch.bfloat16))


@every_estimator
def test_values_out_of_range(library: Library, estimator: Estimator):
    bad = [math.nan, math.inf, 1e-9] if estimator.inputs == "log_w" else [math.nan, math.inf, -math.inf]
    for value in bad:
        with pytest.raises(ValueError, match=rf"{estimator.inputs}\[1, 0\] is {value}: a .* must be"):
            call(estimator, library.array([[0.0, 0.0], [value, 0.0]]))


@with_q
@pytest.mark.parametrize("q", [-1e-9, 1.5, math.nan, math.inf, 2])
def test_q_outside_the_interval(library: Library, estimator: Estimator, q: float):
    with pytest.raises(ValueError, match=rf"q is {q}: q must lie in \[0, 1\]"):
        call(estimator, library.array(POOL), q=q)
    with pytest.raises(ValueError, match=rf"q\[1\] is {float(q)}: q must lie in \[0, 1\]"):
        call(estimator, library.array([POOL, POOL]), q=library.array([0.5, q]))


@with_q
@pytest.mark.parametrize("q", ["0.5", None, True, [0.5], np.array([0, 1])])
def test_q_of_a_wrong_type(estimator: Estimator, q: Any):
    with pytest.raises(TypeError, match=r"q (is|has dtype) .*: pass"):
        call(estimator, np.array(POOL), q=q)


@with_q
@pytest.mark.parametrize("shape", [(3,), (1, 2), (2, 2)])
def test_q_of_a_wrong_shape(library: Library, estimator: Estimator, shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"q has shape .*: one q a pool is needed, so at most \(2,\)"):
        call(estimator, library.array([POOL, POOL]), q=library.array(np.full(shape, 0.5)))


@stochastic
class TestDraws:
    @pytest.mark.parametrize("k", [0, -3, np.int64(0)])
    def test_too_few(self, estimator: Estimator, k: int):
        with pytest.raises(ValueError, match=rf"k is {k}: at least one draw is needed"):
            call(estimator, np.array(POOL), k=k)

    @pytest.mark.parametrize("k", [2.0, "2", True])
    def test_no_integer(self, estimator: Estimator, k: Any):
        with pytest.raises(TypeError, match=rf"k is {k!r}: the number of draws must be an integer, or None for M"):
            call(estimator, np.array(POOL), k=k)

    def test_a_missing_generator(self, estimator: Estimator):
        keywords = {"q": 0.5} if "q" in estimator.parameters else {}
        with pytest.raises(TypeError, match="rng"):
            estimator.function(np.array(POOL), **keywords)

    @pytest.mark.parametrize("rng", [None, 0, np.random.RandomState(0), torch.Generator()])
    def test_no_generator(self, estimator: Estimator, rng: Any):
        with pytest.raises(TypeError, match=r"rng is .*: pass a numpy\.random\.Generator"):
            call(estimator, np.array(POOL), rng=rng)


def test_nothing_is_drawn_before_the_input_is_checked():
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    for q, k in ((2.0, None), (0.5, 0)):
        with pytest.raises(ValueError):
            paft(np.array(POOL), q, k=k, rng=rng)
    with pytest.raises(ValueError):
        trice(np.array([0.5]), rng=rng)
    assert rng.bit_generator.state == before


def test_an_unknown_baseline():
    with pytest.raises(ValueError, match="baseline is 'LOO': choose one of loo, none"):
        garl(np.array(POOL), 0.5, baseline="LOO")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("multiplier", [-1.0, math.nan, math.inf])
def test_a_multiplier_out_of_range(multiplier: float):
    with pytest.raises(ValueError, match=f"multiplier is {multiplier}: a multiple of the baseline must be finite"):
        garl(np.array(POOL), 0.5, multiplier=multiplier)
    with pytest.raises(ValueError, match=f"multiplier is {multiplier}: a multiple of the baseline must be finite"):
        garl_weighted(np.array(POOL), 0.5, score_norm_sq=np.ones(2), multiplier=multiplier)


def test_counts(library: Library):
    log_w = library.array(POOL)
    for bad in (math.nan, -1.0, math.inf):
        with pytest.raises(ValueError, match=rf"counts\[1\] is {bad}: a count must be finite and at least 0"):
            paft_from_counts(log_w, 0.5, library.array([0.0, bad]))
    with pytest.raises(ValueError, match=r"counts has shape \(3,\): it must be log_w's, \(2,\)"):
        paft_from_counts(log_w, 0.5, library.array([1.0, 0.0, 1.0]))
    with pytest.raises(TypeError, match=r"counts has dtype .*int64"):
        paft_from_counts(log_w, 0.5, library.array([1, 1], "int64"))
    assert library.numpy(resample(log_w, 5, np.random.default_rng(0))).sum() == 5


def test_rewards_of_the_wrong_kind(library: Library):
    with pytest.raises(ValueError, match=r"reward\[1\] is 0.5: this estimator needs rewards of 0 or 1"):
        star(library.array([0.0, 0.5]))
    with pytest.raises(ValueError, match=r"reward\[0\] is -1.0: this estimator needs rewards of at least 0"):
        maxrl(library.array([-1.0, 0.5]))
