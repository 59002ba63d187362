"""The registry: what it says of each estimator, and what it refuses."""

import dataclasses
from collections.abc import MutableMapping
from typing import Any, cast

import pytest

from qtheory.estimators import ESTIMATORS, Parameter, garl, get
from qtheory.estimators.registry import by_name


def test_every_issue_estimator_is_registered_under_its_functions_name():
    names = [
        "garl",
        "paft",
        "rb_rloo",
        "iwae",
        "trice",
        "garl_weighted",
        "jackknife",
        "delta",
        "u_series",
        "bound",
        "jepo",
        "logprob",
        "logprob_mean",
        "rb_pkpo",
        "grpo",
        "dr_grpo",
        "rloo",
        "maxrl",
        "star",
        "pkpo",
        "sign",
    ]
    assert list(ESTIMATORS) == names
    assert [e.function.__name__ for e in ESTIMATORS.values()] == names


@pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
def test_the_prose_is_there(estimator):
    assert estimator.inputs in ("log_w", "reward")
    assert all(len(text) > 3 and text == text.strip() for text in (estimator.target, estimator.paper, estimator.limits))
    assert estimator.limits.endswith(".")


def test_parameters_are_read_off_the_signatures():
    assert dict(ESTIMATORS["garl"].parameters) == {
        "q": Parameter(float, None, required=True),
        "baseline": Parameter(str, "loo", required=False),
        "normalize": Parameter(bool, False, required=False),
        "multiplier": Parameter(float, 1.0, required=False),
        "alpha": Parameter(float, 1.0, required=False),
    }
    assert dict(ESTIMATORS["paft"].parameters) == {
        "q": Parameter(float, None, required=True),
        "k": Parameter(int, None, required=False),
        "normalize": Parameter(bool, False, required=False),
    }
    assert dict(ESTIMATORS["grpo"].parameters) == {"scale_by_std": Parameter(bool, True, required=False)}
    assert dict(ESTIMATORS["star"].parameters) == {}
    assert dict(ESTIMATORS["logprob_mean"].parameters) == {}
    assert dict(ESTIMATORS["pkpo"].parameters) == {"k": Parameter(int, None, required=True)}
    assert [name for name, e in ESTIMATORS.items() if e.stochastic] == ["paft", "trice"]
    assert [name for name, e in ESTIMATORS.items() if e.needs_score_norm] == ["garl_weighted"]
    assert [name for name, e in ESTIMATORS.items() if e.needs_answer_length] == ["logprob_mean"]
    assert [name for name, e in ESTIMATORS.items() if e.inputs == "reward"] == list(ESTIMATORS)[-7:]


def test_the_smallest_pool():
    assert ESTIMATORS["paft"].least_samples({"q": 0.5, "k": 3}) == 1
    assert ESTIMATORS["pkpo"].least_samples({"k": 3}) == 3
    assert ESTIMATORS["rb_pkpo"].least_samples({"k": 2}) == 2
    with pytest.raises(ValueError, match="pkpo needs its parameter k; given: none"):
        ESTIMATORS["pkpo"].least_samples({})


def test_the_q_that_an_estimator_stands_for():
    assert ESTIMATORS["garl"].q_of({"q": 0.25, "baseline": "none"}) == 0.25
    assert ESTIMATORS["paft"].q_of({"q": 1}) == 1.0
    fixed = {name: e.q_of({}) for name, e in ESTIMATORS.items() if "q" not in e.parameters}
    assert fixed == {
        "rb_rloo": 0.0, "iwae": 1.0, "trice": 1.0, "jepo": 1.0, "logprob": 1.0, "logprob_mean": 1.0, "rb_pkpo": None,
        "grpo": None, "dr_grpo": None, "rloo": None, "maxrl": None, "star": None, "pkpo": None, "sign": None,
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"garl needs its parameter q; given: \['baseline'\]"):
        ESTIMATORS["garl"].q_of({"baseline": "none"})


def test_lookup():
    assert get("garl").function is garl
    with pytest.raises(ValueError, match=r"unknown estimator 'garll'; did you mean 'garl'\?"):
        get("garll")
    with pytest.raises(ValueError, match=r"unknown estimator 'zzzz'; valid are: garl, paft, .*, star, pkpo, sign"):
        get("zzzz")


def test_a_duplicate_is_refused():
    garl_again = dataclasses.replace(ESTIMATORS["paft"], name="garl")
    with pytest.raises(ValueError, match="estimator 'garl' is registered twice"):
        by_name([*ESTIMATORS.values(), garl_again])


def test_the_registry_and_its_entries_are_read_only():
    with pytest.raises(TypeError):
        cast(MutableMapping[str, Any], ESTIMATORS)["other"] = ESTIMATORS["garl"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        cast(Any, ESTIMATORS["garl"]).name = "other"
