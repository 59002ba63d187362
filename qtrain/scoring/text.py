"""The normal form for comparing texts, and two rules: the answer equals the gold text, or contains it."""

import unicodedata


def canonical(text: str) -> str:
    """Bring a text into normal form: Unicode NFC, single spaces, no white space at the ends.

    Every comparison uses it, because tokenizers with a normalizer decode to NFC, and models end answers with line
    breaks.
    """
    return " ".join(unicodedata.normalize("NFC", text).split())


def exact(answer: str, gold: str) -> bool:
    """True if two texts have the same normal form."""
    return canonical(answer) == canonical(gold)


def contains(answer: str, gold: str) -> bool:
    """The paper's rule in evaluation: y* is a substring of the answer, case-sensitive ("1" is a substring of "21%").

    An empty gold answer, which every text contains, is matched by an empty answer alone.
    """
    wanted, given = canonical(gold), canonical(answer)
    return wanted in given if wanted else not given
