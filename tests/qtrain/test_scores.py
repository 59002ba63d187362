"""p@k and maj@k against counting all draws."""

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtrain.scoring.groups import majority, pass_at_k


@given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_counts_all_subsets(case: tuple[int, int, int]) -> None:
    n, correct, k = case
    subsets = list(itertools.combinations([True] * correct + [False] * (n - correct), k))
    expected = Fraction(sum(any(subset) for subset in subsets), len(subsets))
    assert pass_at_k(n, correct, k) == pytest.approx(float(expected), abs=1e-15)


@pytest.mark.parametrize(("n", "correct", "k"), [(4, 5, 1), (4, -1, 1), (4, 1, 0), (4, 1, 5)])
def test_pass_at_k_refuses_impossible_counts(n: int, correct: int, k: int) -> None:
    with pytest.raises(ValueError, match=f"n={n}, correct={correct}, k={k}"):
        pass_at_k(n, correct, k)


@pytest.mark.parametrize(
    ("answers", "right", "expected"),
    [
        (["7"], "7", 1.0),
        (["7", "3", "3"], "7", 0.0),
        (["7", "3", "3"], "3", 1.0),
        (["7", "3"], "3", 0.5),
        (["7", "3", "7", "3", "1"], "7", 0.5),
        (["1", "2", "3"], "4", 0.0),
        (["1", "2", "3"], "2", 1 / 3),
    ],
)
def test_majority_by_hand(answers: list[str], right: str, expected: float) -> None:
    assert majority(answers, [answer == right for answer in answers]) == pytest.approx(expected)


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=9))
def test_majority_shares_sum_to_one(answers: list[str]) -> None:
    assert sum(majority(answers, [one == answer for one in answers]) for answer in "abc") == pytest.approx(1.0)
