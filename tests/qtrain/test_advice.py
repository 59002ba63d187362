"""The advice of `qtrain measure`: the thresholds of docs/choosing.md, and a sentence for each finding and no other."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtrain.advice import EASY_P, ESTIMATORS, Measured, Start, advise, starting_point

CHOOSING = (Path(__file__).parents[2] / "docs" / "choosing.md").read_text(encoding="utf-8")

FINE = Measured(
    prompts=16, samples=32, estimator="garl:q=.5", needs_reward=False, own_reward=False, p=0.3, median_p=0.2,
    easy=0.9, unseen=0.0, log_w_spread=0.5, p_at_1=0.4, exact_match=0.3, constant="yes", constant_score=0.1, forced=0.1,
    longest_rationale=40, rationale_budget=64, answer_budget=8, long_answers=0.0, cut=0, dropped=0, records=100,
    gradient_norm=1.0, gradient_rms=1e-3, eps=1e-8,
)  # fmt: skip
"""Measurements that call for no advice but the choice of an estimator."""


def table_row(start: Start) -> str:
    """A starting point's row in the first table of docs/choosing.md."""
    (row,) = re.findall(rf"^\| \*\*{start.value}\*\* .*$", CHOOSING, re.MULTILINE)
    return row


@pytest.mark.parametrize("start", Start)
def test_the_page_recommends_the_same_estimators(start: Start) -> None:
    recommended = table_row(start).split("|")[4]
    assert re.findall(r"`(\w+(?::q=[\d.]+)?)`", recommended) == list(ESTIMATORS[start])


def test_the_page_has_the_same_thresholds() -> None:
    assert f"P > {EASY_P:g} on more than half of the prompts".replace("0.", ".") in table_row(Start.EASY)
    assert "mean P ≥ 1/(B M)" in table_row(Start.RARE)
    assert "mean P < 1/(B M)" in table_row(Start.COLD)


def test_fourteen_samples_of_an_easy_prompt_hold_a_success_more_often_than_not() -> None:
    assert (1 - EASY_P) ** 14 < 0.5 < (1 - EASY_P) ** 13


@given(p=st.floats(0, 1), easy=st.floats(0, 1), batch=st.integers(1, 10**6))
def test_starting_points_by_their_definition(p: float, easy: float, batch: int) -> None:
    if easy > 0.5:
        expected = Start.EASY
    elif p < 1 / batch and p * batch < 1:
        expected = Start.COLD
    else:
        expected = Start.RARE
    assert starting_point(p, easy, batch) is expected


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "P is above 0.05 on 90% of the prompts: every estimator trains. Take rb_rloo, garl:q=.25, garl:q=.5 or"),
        (
            {"easy": 0.0, "p": 0.004, "median_p": 0.04},
            "Rewards are met, but rarely: a step of B M = 16 x 32 samples meets about 2 of them at a mean P of 0.004",
        ),
        (
            {"easy": 0.0, "p": 1e-5, "median_p": 1e-6, "unseen": 1.0},
            "Rewards see nothing: a step of B M = 16 x 32 samples meets one reward in about 195 steps at a mean P of "
            "1e-05, so GRPO and every reward estimator stand still. Take likelihood weights: garl:q=.75 or garl:q=1.",
        ),
        ({"easy": 0.0, "p": 0.0, "median_p": 0.0}, "Rewards see nothing: a step of B M = 16 x 32 samples meets no"),
    ],
)
def test_the_first_line_chooses_an_estimator(changes: dict[str, float], line: str) -> None:
    (advice,) = advise(replace(FINE, **changes))
    assert advice.startswith(line)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"easy": 0.4, "p": 4e-3, "median_p": 0.01},
            "M P is 0.32 on the median prompt: with 0/1 rewards M must reach 1/P = 100",
        ),
        (
            {"easy": 0.0, "p": 1e-4, "needs_reward": True, "estimator": "grpo"},
            "estimator=grpo trains on rewards alone: expect a gradient of exactly zero in most steps.",
        ),
        ({"unseen": 0.1}, "Easy and hard prompts share a batch (P > 0.05 on 90%, P < 1/(B M) on 10%): take q of at"),
        ({"log_w_spread": 2.5}, "log w of a prompt's samples has a standard deviation of 2.5 nats"),
        ({"log_w_spread": 2.0, "samples": 8}, "try the power alpha=0.5 (garl:alpha=...), with M raised to 32 or more"),
        ({"p_at_1": 0.1, "exact_match": 0.1}, "p@1 is 0.1, and answering 'yes' to every prompt scores 0.1"),
        ({"exact_match": 0.19}, "p@1 is 0.4 and exact match 0.19: most answers that count as correct are not y*"),
        ({"forced": 0.51}, "51% of the rationales were cut at rollout.rationale_budget=64"),
        ({"forced": 0.0, "longest_rationale": 32}, "The longest rationale has 32 tokens: a smaller"),
        ({"long_answers": 0.01}, "1% of the gold answers are longer than rollout.answer_budget=8"),
        ({"cut": 1}, "1 of 100 records lost the beginning of their context: raise task.max_prompt_tokens"),
        ({"dropped": 51}, "51 of 100 records were left out"),
        ({"gradient_norm": 0.0}, "The gradient of the measured step is exactly zero: estimator=garl:q=.5 saw nothing"),
        ({"gradient_rms": 0.99e-7}, "The gradient's entries are 9.9e-08 (root mean square), where AdamW's epsilon"),
    ],
)
def test_each_finding_has_its_sentence(changes: dict[str, float | str | bool], line: str) -> None:
    lines = advise(replace(FINE, **changes))
    assert len(lines) == 2
    assert line in lines[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"unseen": 0.09},
        {"log_w_spread": 1.0},
        {"p_at_1": 0.0, "exact_match": 0.0},
        {"exact_match": 0.2},
        {"exact_match": 0.0, "p_at_1": 0.1, "own_reward": True},
        {"easy": 0.0, "p": 1e-4, "needs_reward": True, "own_reward": True},
        {"forced": 0.5},
        {"forced": 0.0, "longest_rationale": 33},
        {"dropped": 50},
        {"gradient_rms": 1.01e-7},
        {"gradient_rms": 1e-12, "eps": None},
    ],
)
def test_at_a_threshold_there_is_nothing_to_say(changes: dict[str, float | None]) -> None:
    assert len(advise(replace(FINE, **changes))) == 1
