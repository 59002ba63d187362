"""Scores of answers, by cases worked by hand from the official definitions, and their laws."""

import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtrain.scoring import (
    contains,
    exact,
    exact_match,
    hotpotqa_scores,
    normalised,
    numeric_scores,
    numerically_equal,
    span_scores,
    token_f1,
)
from qtrain.scoring.numeric import the_number

WORDS = ["the", "a", "an", "cat", "dog", ",", ".", "-", "5", "$"]
TEXTS = st.one_of(st.text(max_size=30), st.lists(st.sampled_from(WORDS)).map(" ".join))


@pytest.mark.parametrize(
    ("answer", "gold", "equal", "holds"),
    [
        ("5", "5", True, True),
        ("21%", "1", False, True),
        ("Yes", "yes", False, False),
        ("", "", True, True),
        ("x", "", False, False),
    ],
)
def test_plain_rules(answer: str, gold: str, equal: bool, holds: bool) -> None:
    assert (exact(answer, gold), contains(answer, gold)) == (equal, holds)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The Cat,  a dog and AN owl.", "cat dog and owl"),
        ("U.S.A.", "usa"),
        ("the-end of a.m.", "theend of am"),
        ("an-", ""),
        ("anthem theatre", "anthem theatre"),
        ("\tCafé «x»\n", "café «x»"),  # punctuation is ASCII's alone
        ("it's 5,000", "its 5000"),
    ],
)
def test_normalisation(text: str, words: str) -> None:
    assert normalised(text) == words


@pytest.mark.parametrize(
    ("answer", "gold", "f1"),
    [
        ("the cat", "cat", 1.0),
        ("big cat", "cat", 2 / 3),  # P 1/2, R 1
        ("cat", "big black cat", 1 / 2),  # P 1, R 1/3
        ("cat cat dog", "cat dog dog", 2 / 3),  # shared: one cat, one dog; P 2/3, R 2/3
        ("owl", "cat", 0.0),
        ("the", "an", 1.0),  # no words on either side
        ("the", "cat", 0.0),
    ],
)
def test_f1_of_words(answer: str, gold: str, f1: float) -> None:
    assert token_f1(answer, gold) == pytest.approx(f1, abs=1e-15)


@given(TEXTS, TEXTS)
def test_f1_is_the_harmonic_mean_of_precision_and_recall(answer: str, gold: str) -> None:
    left, right = normalised(answer).split(), normalised(gold).split()
    rest, shared = list(right), 0
    for word in left:
        if word in rest:
            rest.remove(word)
            shared += 1
    if shared:
        precision, recall = shared / len(left), shared / len(right)
        assert token_f1(answer, gold) == pytest.approx(2 * precision * recall / (precision + recall), abs=1e-14)
    else:
        assert token_f1(answer, gold) == float(not left and not right)


@given(TEXTS, TEXTS)
def test_laws_of_the_span_scores(answer: str, gold: str) -> None:
    assert token_f1(answer, gold) == token_f1(gold, answer)
    assert exact_match(answer, answer) == 1
    assert 0 <= exact_match(answer, gold) <= token_f1(answer, gold) <= 1


@pytest.mark.parametrize(
    ("answer", "gold", "em", "f1"),
    [
        ("Yes.", "yes", 1.0, 1.0),
        ("yes they were", "yes", 0.0, 0.0),  # a choice gets no part marks
        ("yes", "yes they were", 0.0, 0.0),
        ("no", "yes", 0.0, 0.0),
        ("noanswer", "the Avon", 0.0, 0.0),
        ("river Avon", "the Avon", 0.0, 2 / 3),
        ("the", "a", 1.0, 0.0),  # officially no shared word is F1 0, also where nothing is left on either side
    ],
)
def test_hotpotqa(answer: str, gold: str, em: float, f1: float) -> None:
    assert hotpotqa_scores(answer, (gold,)) == pytest.approx({"em": em, "f1": f1}, abs=1e-15)


def test_musique_takes_the_best_of_answer_and_aliases() -> None:
    golds = ("the Avon", "River Avon in Bath", "yes")
    assert span_scores("avon", golds) == {"em": 1.0, "f1": 1.0}
    assert span_scores("the river in Bath", golds) == pytest.approx({"em": 0.0, "f1": 6 / 7})  # P 1, R 3/4
    assert span_scores("yes it does", golds) == pytest.approx({"em": 0.0, "f1": 0.5})  # no choices here


@pytest.mark.parametrize(
    ("text", "value", "decimals", "unit"),
    [
        ("5", 5, 0, None),
        ("$ 11,736,600.00", 11_736_600, 2, None),
        ("$ 11736600.00 \\n", 11_736_600, 2, None),
        ("-$5.3", Fraction("-5.3"), 1, None),
        ("$-5", -5, 0, None),
        ("- 5", -5, 0, None),
        ("\N{MINUS SIGN}5", -5, 0, None),
        ("( 5.3 % )", Fraction("-5.3"), 1, Fraction(1, 100)),
        ("it rose by 34.7%.", Fraction("34.7"), 1, Fraction(1, 100)),
        ("34.7 percent", Fraction("34.7"), 1, Fraction(1, 100)),
        ("$ 103.7 million", Fraction("103.7"), 1, 1_000_000),
        (".5", Fraction(1, 2), 1, None),
        ("5.", 5, 0, None),
    ],
)
def test_a_number_is_read(text: str, value: Fraction, decimals: int, unit: Fraction | None) -> None:
    assert the_number(text) == (value, decimals, unit)


@pytest.mark.parametrize(
    "text", ["", "yes", "5 or 6", "5% in 2010", "1,23", "12,345,67", "5e3", "1.2.3", "x5", "5-6", "9" * 41]
)
def test_no_number_or_several_are_none(text: str) -> None:
    assert the_number(text) is None


@pytest.mark.parametrize(
    ("answer", "gold", "right"),
    [
        ("34.7%", "34.7%", True),
        ("the portion is 34.72 %", "34.7%", True),
        ("34.75%", "34.7%", True),  # both ends of the tolerance
        ("34.65%", "34.7%", True),
        ("34.76%", "34.7%", False),
        ("34%", "34.7%", False),  # fewer digits than the gold answer's
        ("0.347", "34.7%", True),  # the unit may be left out, with the value in either scale
        ("34.7", "34.7%", True),
        ("0.3475", "34.7%", True),
        ("0.3476", "34.7%", False),
        ("3.47", "34.7%", False),
        ("34.7%", ".347", True),
        ("27.9%", "27.9", True),
        ("-34.7%", "34.7%", False),
        ("1,193,550", "1193550", True),
        ("$103.7 million", "$ 103.7 million", True),
        ("103,700,000", "$ 103.7 million", True),
        ("103.7", "$ 103.7 million", True),
        ("103.7 thousand", "$ 103.7 million", False),
        ("0.1037 billion", "$ 103.7 million", True),
        ("103.7%", "$ 103.7 million", False),
        ("380 and 5", "380", False),
        ("none", "380", False),
        ("0.3", "0", True),  # 0 is met by what rounds to it
        ("0.6", "0", False),
    ],
)
def test_numbers_agree_to_the_gold_answers_last_digit(answer: str, gold: str, right: bool) -> None:
    assert numerically_equal(answer, gold) is right
    assert numeric_scores(answer, (gold,)) == {"numeric": float(right)}


def test_a_gold_answer_without_a_number_is_compared_as_text() -> None:
    assert numeric_scores("Yes.", ("yes",)) == {"numeric": 1.0}
    assert numeric_scores("1", ("yes",)) == {"numeric": 0.0}
    with pytest.raises(ValueError, match="'yes' names no number"):
        numerically_equal("1", "yes")


@given(st.integers(-(10**9), 10**9), st.integers(0, 4), st.booleans(), st.integers(-60, 60))
def test_the_tolerance_is_half_of_the_last_digit(digits: int, decimals: int, percent: bool, tenths: int) -> None:
    unit = "%" if percent else ""
    gold = f"{'-' if digits < 0 else ''}{abs(digits) // 10**decimals:,}"
    if decimals:
        gold += f".{abs(digits) % 10**decimals:0{decimals}}"
    moved = 100 * abs(digits) + tenths  # hundredths of the last digit
    if moved < 0:
        return
    scale = 10 ** (decimals + 2)
    answer = f"{'-' if digits < 0 else ''}{moved // scale}.{moved % scale:0{decimals + 2}}"
    assert numerically_equal(answer + unit, gold + unit) is (abs(tenths) <= 50)


@given(st.text(max_size=200), st.text(max_size=200))
def test_no_text_breaks_a_score(answer: str, gold: str) -> None:
    for scores in (hotpotqa_scores, span_scores, numeric_scores):
        assert all(0 <= value <= 1 for value in scores(answer, (gold,)).values())


@pytest.mark.parametrize("piece", ["1", " ", "1,", "-", "1,111", "a1", "(", "1 ", "1-", "$", "."])
def test_hostile_lengths_are_read_once(piece: str) -> None:
    # A pattern that looked at a text's every pair of places would not end within the suite's time limit.
    assert numeric_scores(piece * (200_000 // len(piece)) + "x", ("5",)) == {"numeric": 0.0}


def test_numbers_are_those_that_the_eye_finds() -> None:
    for value in (0, 7, 12.5, 1234.75, 1e6):
        for text in (f"{value:,}", f"{value}", f"about ${value:,} ."):
            found = the_number(text)
            assert found is not None
            assert float(found.value) == float(re.sub(r"[^\d.]", "", text).rstrip(".")) == value
