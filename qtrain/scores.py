"""Scores of n sampled answers a prompt: p@1, unbiased p@k, maj@k with ties shared."""

from collections import Counter
from collections.abc import Sequence
from math import comb


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Chance that k answers drawn without replacement from n hold a correct one (Chen et al. 2021, unbiased).

    Raises:
        ValueError: k > n, or counts out of range.
    """
    if not 1 <= k <= n or not 0 <= correct <= n:
        raise ValueError(f"pass_at_k: n={n}, correct={correct}, k={k}: need 1 <= k <= n and 0 <= correct <= n")
    return 1.0 - comb(n - correct, k) / comb(n, k)


def majority(answers: Sequence[str], correct: Sequence[bool]) -> float:
    """maj@n: whether the most frequent answer is correct; tied answers share it (a fair draw among them).

    Args:
        answers: n answers; equal strings are votes for one answer.
        correct: n flags; answers that are equal strings have equal flags.
    """
    votes = Counter(answers)
    most = max(votes.values())
    tied = [answer for answer, count in votes.items() if count == most]
    right = {answer for answer, flag in zip(answers, correct, strict=True) if flag}
    return sum(answer in right for answer in tied) / len(tied)
