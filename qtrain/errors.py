"""The one exception whose message is meant for the user: one line saying what, where and how to mend it."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Bad input. The command line prints the message alone, without a traceback, and exits with status 2."""


def did_you_mean(word: str, valid: Iterable[str]) -> str:
    """The end of an error line about an unknown name.

    Args:
        word: What was given.
        valid: Every name that would have been right.

    Returns:
        The nearest valid name, or all of them where none is near.
    """
    names = sorted(valid)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"valid are: {', '.join(names)}"
