"""What qtheory.tsallis refuses, and that the message names the argument and the value."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from array_libraries import Library

from qtheory import tsallis

# Function, its first argument's name, a valid value.
OF_P = [(f, "p", 0.5) for f in (tsallis.log_q, tsallis.loss, tsallis.amplification, tsallis.attenuation)]
OF_LOG_P = [
    (f, "log_p", -0.5)
    for f in (
        tsallis.log_q_from_log,
        tsallis.loss_from_log,
        tsallis.amplification_from_log,
        tsallis.attenuation_from_log,
    )
]
OF_X = [(f, "x", -0.5) for f in (tsallis.exp_q, tsallis.log_exp_q)]
OF_ROWS = [(tsallis.escort, "a", 0.5), (tsallis.escort_from_log, "log_a", -0.5)]
ALL = [pytest.param(*entry, id=entry[0].__name__) for entry in OF_P + OF_LOG_P + OF_X + OF_ROWS]
every_function = pytest.mark.parametrize(("function", "name", "valid"), ALL)
Function = Callable[..., Any]


@every_function
@pytest.mark.parametrize("q", [-0.1, 1.5, math.nan, 2])
def test_q_outside_the_interval(library: Library, function: Function, name: str, valid: float, q: float):
    with pytest.raises(ValueError, match=rf"q is {q}: q must lie in \[0, 1\]"):
        function(library.array([valid]), q)
    with pytest.raises(ValueError, match=rf"q\[1\] is {float(q)}: q must lie in \[0, 1\]"):
        function(library.array([[valid], [valid]]), library.array([0.5, q]))


@every_function
@pytest.mark.parametrize("q", ["half", None, True, np.array([0, 1])])
def test_q_of_a_wrong_type(function: Function, name: str, valid: float, q: Any):
    with pytest.raises(TypeError, match=r"q (is|has dtype) .*: pass"):
        function(np.array([valid]), q)


@every_function
def test_the_first_argument_outside_its_range(library: Library, function: Function, name: str, valid: float):
    for bad in (math.nan, 1.25):
        with pytest.raises(ValueError, match=rf"{name}\[0, 1\] is {bad}: "):
            function(library.array([[valid, bad]]), 0.5)
    if name in ("p", "a"):
        with pytest.raises(ValueError, match=rf"{name}\[1\] is -0.5: a probability must lie in \[0, 1\]"):
            function(library.array([valid, -0.5]), 0.5)


@every_function
def test_the_first_argument_of_a_wrong_type(library: Library, function: Function, name: str, valid: float):
    with pytest.raises(TypeError, match=rf"{name} has dtype .*int64: pass float32 or float64"):
        function(library.array([0, 0], "int64"), 0.5)
    with pytest.raises(TypeError, match=rf"{name} has dtype .*bool: pass float32 or float64"):
        function(library.array([False], "bool"), 0.5)
    with pytest.raises(TypeError, match=rf"{name} is \[.*\], a list: pass a numpy, torch"):
        function([valid], 0.5)


@every_function
def test_half_precision_and_graph_tensors(function: Function, name: str, valid: float):
    with pytest.raises(TypeError, match=f"{name} has dtype torch.bfloat16: pass float32 or float64"):
        function(torch.tensor([valid], dtype=torch.bfloat16), 0.5)
    with pytest.raises(ValueError, match=f"{name} requires grad: pass {name}.detach()"):
        function(torch.tensor([valid], requires_grad=True), 0.5)


@every_function
def test_shapes_that_do_not_broadcast(library: Library, function: Function, name: str, valid: float):
    with pytest.raises(ValueError, match=rf"q has shape \(3,\), not broadcastable with .*{name}, \(2,\)"):
        function(library.array([[valid], [valid]] if name in ("a", "log_a") else [valid, valid]), np.full(3, 0.5))


@pytest.mark.parametrize(("function", "name", "valid"), OF_ROWS)
def test_escorts_need_a_positive_weight(library: Library, function: Function, name: str, valid: float):
    nothing = 0.0 if name == "a" else -math.inf
    with pytest.raises(ValueError, match=rf"max\({name}\)\[1, 0\] is {nothing}: one weight of each row"):
        function(library.array([[valid, valid], [nothing, nothing]]), 0.5)
    with pytest.raises(ValueError, match=rf"{name} has shape \(2, 0\): at least one weight"):
        function(library.array(np.ones((2, 0))), 0.5)
    with pytest.raises(ValueError, match=rf"{name} has shape \(\): at least one weight"):
        function(library.array(valid), 0.5)
