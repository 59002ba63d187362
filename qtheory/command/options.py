"""What options take: words as they were typed, and whole numbers between bounds, refused with the option's name."""

import reprlib
from collections.abc import Sequence
from typing import Any, get_origin

from cyclopts import CycloptsError, Parameter, Token

AS_TYPED = Parameter(json_list=False, json_dict=False)
"""For all parameters of an app: a path or an override that begins with a bracket is no JSON."""

LARGEST = 2**32 - 1
"""What an integer may be at most where nothing smaller is asked for: seeds too fit every generator."""


def whole_number(least: int, most: int = LARGEST) -> Parameter:
    """What to annotate an option with that takes whole numbers, one or several.

    Args:
        least: The smallest that is possible.
        most: The largest.
    """

    def read(hint: Any, tokens: Sequence[Token]) -> int | list[int]:
        numbers = [_read(token, least, most) for token in tokens]
        return numbers if get_origin(hint) is list else numbers[0]

    return Parameter(converter=read)


def _read(token: Token, least: int, most: int) -> int:
    """Cyclopts itself would round 1.5 without a word."""
    given = f"{token.keyword} {reprlib.repr(token.value)[1:-1]}"
    try:
        number = int(token.value)
    except ValueError:  # also what has thousands of digits
        raise CycloptsError(msg=f"{given}: a whole number between {least} and {most} is needed") from None
    if number < least:
        raise CycloptsError(msg=f"{given}: at least {least} is needed")
    if number > most:
        raise CycloptsError(msg=f"{given}: at most {most} is possible")
    return number
