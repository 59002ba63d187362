"""The testbed: its arithmetic, its variants, its held-out prompts and its pre-training mixture."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from qtrain.tasks.base import END, END_THINK, PAD, THINK, Demonstration, Task
from qtrain.testbed.digit_sum import DigitSum, DigitSumConfig, running_sums


def digits_of(prompt: str) -> str:
    return prompt.removesuffix(THINK).removesuffix("=").removeprefix("T")


def is_right(text: Demonstration) -> bool:
    """Whether a demonstration adds up, digit by digit."""
    rationale, answer = text.completion.removesuffix(END).split(END_THINK)
    total, sums = 0, []
    for digit in digits_of(text.prompt):
        total = (total + int(digit)) % 10
        sums.append(str(total))
    return rationale == "".join(sums) and answer[1:] == sums[-1]


def demonstrations(n: int, **settings: Any) -> list[Demonstration]:
    return DigitSum(DigitSumConfig(**settings)).demonstrations(n, np.random.default_rng(7))


def z_score(hits: int, n: int, p: float) -> float:
    """Deviation of a binomial count from its mean, in standard deviations."""
    return (hits - n * p) / (n * p * (1 - p)) ** 0.5


@pytest.mark.parametrize(("digits", "sums"), [("357", "385"), ("99999", "98765"), ("00000", "00000"), ("7", "7")])
def test_running_sums_by_hand(digits: str, sums: str) -> None:
    assert running_sums(digits) == sums


@given(st.text("0123456789", min_size=1, max_size=9))
def test_each_running_sum_is_the_sum_of_its_prefix(digits: str) -> None:
    expected = [sum(int(digit) for digit in digits[: length + 1]) % 10 for length in range(len(digits))]
    assert running_sums(digits) == "".join(map(str, expected))


@pytest.mark.parametrize(
    ("variant", "formats"),
    [
        ("cold", [("", "A", False)]),
        ("warm", [("T", "A", False)]),
        ("mixed", [("", "A", False), ("T", "B", True)]),
    ],
)
def test_variants(variant: Any, formats: list[tuple[str, str, bool]]) -> None:
    task = DigitSum(DigitSumConfig(variant=variant))
    kinds = itertools.cycle(formats)
    for example, (tag, letter, easy) in zip(task.batch(40, np.random.default_rng(1)), kinds, strict=False):
        digits = digits_of(example.prompt)
        assert len(digits) == 5
        assert example.prompt == f"{tag}{digits}={THINK}"
        assert example.answer == letter + str(sum(map(int, digits)) % 10)
        assert (example.group == "easy") is easy


def test_held_out_prompts_are_fixed_and_begin_alike() -> None:
    task = DigitSum(DigitSumConfig())
    assert task.held_out(20) == DigitSum(DigitSumConfig()).held_out(50)[:20]


def test_the_mixture_holds_out_n_of_each_kind() -> None:
    assert [example.group == "easy" for example in DigitSum(DigitSumConfig(variant="mixed")).held_out(6)] == [
        False,
        True,
    ] * 6


def test_held_out_digits_are_never_trained_on() -> None:
    task = DigitSum(DigitSumConfig(digits=3))
    rng = np.random.default_rng(0)
    held_out = {digits_of(example.prompt) for example in task.held_out(2000)}
    trained = {digits_of(example.prompt) for example in task.batch(15_000, rng)}
    imitated = {digits_of(text.prompt) for text in task.demonstrations(15_000, rng)}
    assert trained == imitated
    assert held_out.isdisjoint(trained)
    assert len(held_out) + len(trained) == 1000
    assert abs(z_score(len(held_out), 1000, 1 / 16)) < 3


def test_batches_are_uniform_and_reproducible() -> None:
    task = DigitSum(DigitSumConfig(digits=2))
    drawn = [example.id for example in task.batch(10_000, np.random.default_rng(5))]
    assert drawn == [example.id for example in task.batch(10_000, np.random.default_rng(5))]
    _, counts = np.unique(drawn, return_counts=True)
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("digits", [2, 5, 9])
def test_every_right_rationale_adds_up(digits: int) -> None:
    assert all(is_right(text) for text in demonstrations(500, right_rationales=1.0, digits=digits))


@pytest.mark.slow
@pytest.mark.parametrize(("tagged", "format_a", "right"), [(0.3, 0.5, 0.3), (0.7, 0.1, 0.9), (0.5, 0.9, 0.0)])
def test_the_pretraining_mixture_has_the_shares_it_says(tagged: float, format_a: float, right: float) -> None:
    n, digits = 20_000, 2
    texts = demonstrations(n, tagged=tagged, tagged_format_a=format_a, right_rationales=right, digits=digits)
    with_tag = [text for text in texts if text.prompt.startswith("T")]
    without_tag = [text for text in texts if not text.prompt.startswith("T")]
    in_format_a = [text for text in with_tag if f"{END_THINK}A" in text.completion]
    assert abs(z_score(len(with_tag), n, tagged)) < 4
    assert abs(z_score(len(in_format_a), len(with_tag), format_a)) < 4
    assert all(f"{END_THINK}B" in text.completion for text in without_tag)
    # Random digits are right by chance once in 10 for each of the rationale's and for the answer's.
    by_chance = (1 - right) * 10.0 ** -(digits + 1)
    assert abs(z_score(sum(map(is_right, texts)), n, right + by_chance)) < 4


def test_wrong_rationales_are_random_and_their_answers_unrelated() -> None:
    texts = demonstrations(10_000, right_rationales=0.0, digits=2)
    ends = [text.completion.removesuffix(END).split(END_THINK) for text in texts]
    table = np.zeros((10, 10))
    for rationale, answer in ends:
        table[int(rationale[-1]), int(answer[1:])] += 1
    assert stats.chisquare(table.ravel()).pvalue > 1e-3


def test_demonstrations_are_a_prompt_and_a_complete_text() -> None:
    for text in demonstrations(200):
        rationale, answer = text.completion.removesuffix(END).split(END_THINK)
        assert text.prompt.endswith(f"={THINK}")
        assert text.completion.endswith(END)
        assert (len(rationale), len(answer)) == (5, 2)


def test_the_tokenizer_has_one_token_a_character_and_the_special_ones() -> None:
    tokenizer = DigitSum(DigitSumConfig()).tokenizer
    text = f"T01234={THINK}01360{END_THINK}A0{END}{PAD}B56789"
    tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(tokens) == text
    assert len(tokens) == 7 + 1 + 5 + 1 + 2 + 1 + 1 + 6
    assert len(tokenizer) == 4 + 14
    assert tokenizer.convert_tokens_to_ids([PAD, THINK, END_THINK, END]) == [0, 1, 2, 3]


@given(st.text("0123456789=TAB"))
def test_tokens_survive_decoding(text: str) -> None:
    tokenizer = DigitSum(DigitSumConfig()).tokenizer
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_success_is_exact_match() -> None:
    task: Task = DigitSum(DigitSumConfig())
    (example,) = task.held_out(1)
    assert task.success(example, example.answer)
    assert not task.success(example, example.answer + "1")
    assert not task.success(example, "B" + example.answer[1:])


@pytest.mark.parametrize("setting", [{"digits": 0}, {"digits": 10}, {"variant": "hot"}, {"tagged": 1.5}, {"digit": 5}])
def test_bad_settings_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DigitSumConfig(**setting)
