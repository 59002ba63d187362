"""Scores over the n sampled answers of a prompt: unbiased p@k, and maj@k with ties shared."""

from collections.abc import Sequence
from math import comb

from qtrain.scoring.text import canonical


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Probability that k answers drawn without replacement from n include a correct one (unbiased, Chen et al. 2021).

    Raises:
        ValueError: k or `correct` is out of range.
    """
    if not 1 <= k <= n or not 0 <= correct <= n:
        raise ValueError(f"pass_at_k: n={n}, correct={correct}, k={k}: need 1 <= k <= n and 0 <= correct <= n")
    return 1.0 - comb(n - correct, k) / comb(n, k)


def majority(answers: Sequence[str], correct: Sequence[bool]) -> float:
    r"""maj@n: 1 if the most frequent answer is correct, else 0, averaged over the answers tied for most frequent.

    Args:
        answers: n answers. Answers with the same normal form (`qtrain.scoring.text.canonical`) count as one, so that
            "42", "42 " and "\n42" are three votes for it.
        correct: n flags. If equal answers have different flags, the answer scores the share of correct flags.
    """
    flags: dict[str, list[bool]] = {}
    for answer, flag in zip(answers, correct, strict=True):
        flags.setdefault(canonical(answer), []).append(flag)
    most = max(map(len, flags.values()))
    tied = [sum(votes) / most for votes in flags.values() if len(votes) == most]
    return sum(tied) / len(tied)
