"""Normalised exact match and token F1, as the official evaluations of HotPotQA and MuSiQue define them.

Normalisation: NFC (which the official code leaves to the data), lower case, no ASCII punctuation, no articles (a, an,
the), single spaces.
F1: harmonic mean of precision and recall over the normalised words, counted with multiplicity.
"""

import re
import string
from collections import Counter

from qtrain.scoring.text import canonical

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")

CLOSED = frozenset({"yes", "no", "noanswer"})
"""HotPotQA's answers that are choices, not spans: if one of two unequal texts is among them, F1 is 0."""


def normalised(text: str) -> str:
    """Normalise a text as the official evaluations do.

    Punctuation is removed before the articles, so that "a.m." becomes "am" and "the-end" becomes "theend".
    """
    return " ".join(_ARTICLES.sub(" ", canonical(text).lower().translate(_NO_PUNCTUATION)).split())


def exact_match(answer: str, gold: str) -> float:
    """1 if the normalised texts are equal, else 0."""
    return float(normalised(answer) == normalised(gold))


def token_f1(answer: str, gold: str) -> float:
    """F1 of the normalised words. If a text has no words, F1 is 1 if both have none, else 0."""
    answer_words, gold_words = normalised(answer).split(), normalised(gold).split()
    if not answer_words or not gold_words:
        return float(answer_words == gold_words)
    # 2 P R / (P + R) with P = shared / answer words and R = shared / gold words.
    shared = (Counter(answer_words) & Counter(gold_words)).total()
    return 2 * shared / (len(answer_words) + len(gold_words))


def hotpotqa_scores(answer: str, golds: tuple[str, ...]) -> dict[str, float]:
    """HotPotQA's scores `em` and `f1` against the first gold answer, the only one in HotPotQA.

    As in the official evaluation, F1 is 0 if both texts are empty after normalisation.
    """
    gold = golds[0]
    given, wanted = normalised(answer), normalised(gold)
    unequal_choice = given != wanted and (given in CLOSED or wanted in CLOSED)
    return {
        "em": exact_match(answer, gold),
        "f1": 0.0 if unequal_choice or not wanted else token_f1(answer, gold),
    }


def span_scores(answer: str, golds: tuple[str, ...]) -> dict[str, float]:
    """MuSiQue's scores `em` and `f1`, also used for your own pairs: the maxima over the gold answer and its aliases."""
    return {
        "em": max(exact_match(answer, gold) for gold in golds),
        "f1": max(token_f1(answer, gold) for gold in golds),
    }
