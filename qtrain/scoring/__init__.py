"""Scores of an answer against gold answers: the paper's substring rule, normalised EM and F1, FinQA's numbers.

`text` holds the substring rule, `spans` EM and F1, `numeric` FinQA's scores (built on `number` and `plain`), and
`groups` p@k and maj@k over the samples of a prompt. Training rewards are not computed here: they are exact match of the
tokens (`qtrain.rollout.rollouts`).
"""

from qtrain.scoring.numeric import numeric_scores, numerically_equal
from qtrain.scoring.spans import exact_match, hotpotqa_scores, normalised, span_scores, token_f1
from qtrain.scoring.text import contains, exact

__all__ = [
    "contains",
    "exact",
    "exact_match",
    "hotpotqa_scores",
    "normalised",
    "numeric_scores",
    "numerically_equal",
    "span_scores",
    "token_f1",
]
