"""The two plain rules: an answer is the gold text, or holds it."""


def exact(answer: str, gold: str) -> bool:
    """Equal to the character: the rule of training rewards, where it is applied to tokens."""
    return answer == gold


def contains(answer: str, gold: str) -> bool:
    """The paper's rule in evaluation: y* is a substring of the answer, case and all ("1" is found in "21%").

    Every text holds the empty one; an empty gold answer asks for an empty answer instead.
    """
    return gold in answer if gold else not answer
