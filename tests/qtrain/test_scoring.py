"""Scores of answers, by cases worked by hand from the official definitions, and their laws."""

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
    span_scores,
    token_f1,
)

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


@given(st.text(max_size=200), st.text(max_size=200))
def test_no_text_breaks_a_score(answer: str, gold: str) -> None:
    for scores in (hotpotqa_scores, span_scores, numeric_scores):
        assert all(0 <= value <= 1 for value in scores(answer, (gold,)).values())
