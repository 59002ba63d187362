"""The normal form in which texts are compared, and the two plain rules: an answer is the gold text, or contains it."""

import unicodedata


def canonical(text: str) -> str:
    """The normal form of a text in every comparison: Unicode NFC, white space as single spaces, none at the ends.

    Tokenizers with a normalizer decode to NFC whatever was encoded, and models end answers in line breaks.
    """
    return " ".join(unicodedata.normalize("NFC", text).split())


def exact(answer: str, gold: str) -> bool:
    """Whether two texts have one normal form."""
    return canonical(answer) == canonical(gold)


def contains(answer: str, gold: str) -> bool:
    """The paper's rule in evaluation: y* is a substring of the answer, case and all ("1" is found in "21%").

    Every text contains the empty one; an empty gold answer asks for an empty answer instead.
    """
    wanted, given = canonical(gold), canonical(answer)
    return wanted in given if wanted else not given
