"""FinQA's numeric answers: when two texts name the same number, with percent signs, commas, $ and scale words.

The official evaluation executes programs; for an answer in words the rule has to be stated, and is this one:

- A text names a number where it holds exactly one. Thousands commas, $, a space behind the sign and the accountants'
  brackets of a negative number are read; several numbers are no answer.
- Tolerance: the answer, rounded to the gold answer's decimals, is the gold answer (34.7% is met by 34.65% to 34.75%,
  both ends included). More digits than the gold's are right, fewer are not.
- %, thousand, million and billion are units. Where both texts have one, or neither, values are compared with their
  units. Where one alone has a unit, the other's value may be meant with it or without: 34.7% is met by 34.7 and .347.
- A gold answer without a number (yes, no) is compared by normalised exact match.
"""

import re
from fractions import Fraction
from itertools import islice
from typing import NamedTuple

from qtrain.scoring.spans import exact_match

UNITS = {"%": Fraction(1, 100), "thousand": Fraction(10**3), "million": Fraction(10**6), "billion": Fraction(10**9)}

LONGEST = 40
"""Characters of the longest number that is read; no report has longer ones."""

# Possessive throughout (`++`, `?>`): no text, however hostile, is looked at more than a few times.
_NUMBER = re.compile(
    r"""(?<![\w.,])                            # not inside a word or another number
    (?P<sign>[-+(]?)[ ]?\$?[ ]?(?P<inner>-?)[ ]?    # -5  -$5  $-5  - 5  (5)
    (?P<digits>(?>\d{1,3}(?:,\d{3})++(?:\.\d++)?|\d++(?:\.\d*+)?|\.\d++))
    (?!\.\d|[\w,]*\d)                         # 1,23 and 5e3 and 1.2.3 are no numbers
    [ ]?(?P<unit>%|percent\b|thousand\b|million\b|billion\b)?
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)


class Number(NamedTuple):
    """A number as it is written: its value without the unit, its decimals, and its unit's factor (None without one)."""

    value: Fraction
    decimals: int
    unit: Fraction | None


def the_number(text: str) -> Number | None:
    """The one number that a text names, or None where it names none or several."""
    found = list(islice(_NUMBER.finditer(text.replace("\N{MINUS SIGN}", "-")), 2))
    if len(found) != 1 or len(digits := found[0]["digits"].replace(",", "")) > LONGEST:
        return None
    value = Fraction(digits)
    negative = found[0]["sign"] in ("-", "(") or found[0]["inner"] == "-"
    word = (found[0]["unit"] or "").lower().replace("percent", "%")
    return Number(-value if negative else value, len(digits.partition(".")[2]), UNITS.get(word))


def numerically_equal(answer: str, gold: str) -> bool:
    """Whether an answer names the gold answer's number, within half a unit of the gold's last digit.

    Raises:
        ValueError: The gold answer names no number.
    """
    wanted, given = the_number(gold), the_number(answer)
    if wanted is None:
        raise ValueError(f"gold answer {gold!r} names no number")
    if given is None:
        return False
    tolerance = Fraction(1, 2 * 10**wanted.decimals)
    if given.unit == wanted.unit:
        return abs(given.value - wanted.value) <= tolerance
    # In units of the gold answer.
    scale = (given.unit or 1) / Fraction(wanted.unit or 1)
    readings = {given.value * scale}
    if given.unit is None or wanted.unit is None:
        readings.add(given.value)
    return any(abs(reading - wanted.value) <= tolerance for reading in readings)


def numeric_scores(answer: str, golds: tuple[str, ...]) -> dict[str, float]:
    """FinQA's `numeric` score against its one gold answer (the first)."""
    gold = golds[0]
    if the_number(gold) is None:
        return {"numeric": exact_match(answer, gold)}
    return {"numeric": float(numerically_equal(answer, gold))}
