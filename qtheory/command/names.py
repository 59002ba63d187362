"""The end of an error line about an unknown name: the nearest valid one, or all of them."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """The end of an error line about an unknown name.

    Args:
        name: What was given.
        valid: Every name that would have been right, in the order in which to list them.

    Returns:
        The nearest valid name, or all of them if none is near.
    """
    names = list(valid)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"valid are: {', '.join(names)}"
