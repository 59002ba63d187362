"""Parse command-line options: values as typed, and whole numbers between bounds."""

import reprlib
from collections.abc import Sequence
from typing import Any, get_origin

from cyclopts import CycloptsError, Parameter, Token

AS_TYPED = Parameter(json_list=False, json_dict=False)
"""Default for all parameters of an app: a path or an override that begins with a bracket is not parsed as JSON."""

LARGEST = 2**32 - 1
"""Default upper bound of an integer, which every random generator accepts as a seed."""


def whole_number(least: int, most: int = LARGEST) -> Parameter:
    """Annotation of an option that takes one whole number or a list of them.

    Args:
        least: The smallest valid number.
        most: The largest valid number.
    """

    def read(hint: Any, tokens: Sequence[Token]) -> int | list[int]:
        numbers = [_read(token, least, most) for token in tokens]
        return numbers if get_origin(hint) is list else numbers[0]

    return Parameter(converter=read)


def _read(token: Token, least: int, most: int) -> int:
    """Parse one number strictly: cyclopts would silently round 1.5."""
    given = f"{token.keyword} {reprlib.repr(token.value)[1:-1]}"
    try:
        number = int(token.value)
    except ValueError:  # also raised for thousands of digits
        raise CycloptsError(msg=f"{given}: a whole number between {least} and {most} is needed") from None
    if number < least:
        raise CycloptsError(msg=f"{given}: at least {least} is needed")
    if number > most:
        raise CycloptsError(msg=f"{given}: at most {most} is possible")
    return number
