"""Suggest a valid name in an error message about an unknown one."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """The end of an error line about an unknown name.

    Args:
        name: The unknown name.
        valid: All valid names, in the order in which to list them.

    Returns:
        The nearest valid name, or all of them if none is near.
    """
    names = list(valid)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"valid are: {', '.join(names)}"
