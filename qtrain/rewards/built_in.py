r"""The named rewards: each compares a sampled answer with the gold answer and its aliases, and takes the best.

`math` is the only one that can take long (`9^{9^{9^9}}`), so it runs in a process with a time limit
(`qtrain.rewards.process`), by way of the optional package math-verify.
"""

import importlib
import logging
import re
from collections.abc import Callable, Sequence

from qtrain.scoring import contains, exact, exact_match, numeric_scores, token_f1
from qtrain.scoring.text import canonical


def _best(score: Callable[[str, str], float]) -> Callable[[str, Sequence[str]], float]:
    return lambda answer, golds: max(float(score(answer, gold)) for gold in golds)


def _numeric(answer: str, gold: str) -> float:
    return numeric_scores(answer, (gold,))["numeric"]


TEXT_REWARDS: dict[str, Callable[[str, Sequence[str]], float]] = {
    "exact": _best(exact),
    "contains": _best(contains),
    "em": _best(exact_match),
    "f1": _best(token_f1),
    "numeric": _best(_numeric),
}
"""Rewards that take a sampled answer and its gold answers, by name. Their time is linear in the answer's length."""

MATH = "math"
MATH_FUNCTION = "qtrain.rewards.built_in:math_reward"
"""The reward that runs in a process, and the function that computes it there."""

NAMES = (*TEXT_REWARDS, MATH)
"""The names of all built-in rewards."""

GRADED = ("f1",)
"""Built-in rewards with values between 0 and 1; the others are 0 or 1."""

_DELIMITED = re.compile(r"\$|\\boxed|\\\(|\\\[")


def math_reward(completion: str, answers: Sequence[str]) -> float:
    r"""1 if an answer equals a gold answer as mathematics, by math-verify: `0.5` equals `\frac12`.

    Args:
        completion: The sampled answer, with or without LaTeX delimiters. Without delimiters, all of it is one formula.
        answers: The gold answers.
    """
    if any(canonical(completion) == canonical(gold) for gold in answers):
        return 1.0
    library = importlib.import_module("math_verify")
    # The library warns at every call that its own time limit, which needs signals, is off.
    logging.getLogger("math_verify").setLevel(logging.ERROR)

    def parse(text: str) -> list:
        return library.parse(text if _DELIMITED.search(text) else f"${text}$", parsing_timeout=None)

    given = parse(completion)
    return float(any(library.verify(parse(gold), given, timeout_seconds=None) for gold in answers))


math_reward.binary = True  # pyright: ignore[reportFunctionMemberAccess] - the mark that users set too
