"""Scores of n sampled answers a prompt: p@1, unbiased p@k, maj@k with ties shared."""

from collections.abc import Sequence
from math import comb

from qtrain.scoring.text import canonical


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Chance that k answers drawn without replacement from n hold a correct one (Chen et al. 2021, unbiased).

    Raises:
        ValueError: k > n, or counts out of range.
    """
    if not 1 <= k <= n or not 0 <= correct <= n:
        raise ValueError(f"pass_at_k: n={n}, correct={correct}, k={k}: need 1 <= k <= n and 0 <= correct <= n")
    return 1.0 - comb(n - correct, k) / comb(n, k)


def majority(answers: Sequence[str], correct: Sequence[bool]) -> float:
    r"""maj@n: the share of correct answers among those that most samples agree on, averaged over tied answers.

    Args:
        answers: n answers. Equal normal forms (`qtrain.scoring.text.canonical`) are votes for one answer, so that
            "42", "42 " and "\n42" are three of them.
        correct: n flags. Where an answer's voters differ in theirs, it counts by its share of correct ones.
    """
    flags: dict[str, list[bool]] = {}
    for answer, flag in zip(answers, correct, strict=True):
        flags.setdefault(canonical(answer), []).append(flag)
    most = max(map(len, flags.values()))
    tied = [sum(votes) / most for votes in flags.values() if len(votes) == most]
    return sum(tied) / len(tied)
