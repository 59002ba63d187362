"""FinQA's two scores of an answer in words: `numeric`, this project's rule, and `numeric_official`, the literal one.

The page on scores has one table of both rules, with an example of each notation. In short, `numeric` says:

- An answer has to name the gold answer's number, and a text names a number only if it holds exactly one.
- Tolerance: the answer, rounded to the gold answer's last digit, is the gold answer (34.7% is met by 34.65% to 34.75%,
  both ends included). More digits than the gold's are right, fewer are not.
- Scale words, currencies and counted nouns belong to amounts; percent, basis points and `x` belong to ratios. An amount
  never equals a ratio, nor an amount of something else, and an unknown unit equals only itself.
- If both texts have a factor (a scale word or the unit of a ratio), values are compared with it. If only one has, its
  value may be meant with the factor or without: 34.7% is met by 34.7 and .347.
- A gold answer without a number (yes, no) is compared by normalised exact match.

The official evaluation (github.com/czyssrs/FinQA, code/evaluate/evaluate.py at commit dfc5b72c01ee) has no rule for
answers in words: it executes a predicted program, rounds the result to five decimals, and asks whether it equals the
record's `exe_ans`. `numeric_official` applies the literal parts of that to words: the way it reads the numbers of a
program, equality after rounding to five decimals, and yes or no to the character. The gold side is the record's
`answer`, because `exe_ans` is not rounded as answers are (.34719 where the answer is 34.7%). The score is therefore not
the published execution accuracy, and no official output exists against which it could be checked.
"""

import math
import re
from fractions import Fraction

from qtrain.scoring.number import Number, the_number
from qtrain.scoring.plain import plain
from qtrain.scoring.spans import exact_match

OFFICIAL_DECIMALS = 5
"""To which the official evaluation rounds."""


def numerically_equal(answer: str, gold: str) -> bool:
    """Whether an answer names the gold answer's number, within half a unit of the gold's last digit.

    Raises:
        ValueError: The gold answer names no number.
    """
    wanted, given = the_number(gold), the_number(answer)
    if wanted is None:
        raise ValueError(f"gold answer {gold!r} names no number")
    if given is None or not _comparable(given, wanted):
        return False
    tolerance = Fraction(10) ** -wanted.decimals / 2
    # In units of the gold answer.
    readings = {given.total / (1 if wanted.unit.factor is None else wanted.unit.factor)}
    if given.unit.factor is None or wanted.unit.factor is None:
        readings.add(given.value)
    return any(abs(reading - wanted.value) <= tolerance for reading in readings)


def _comparable(given: Number, wanted: Number) -> bool:
    """Whether two numbers may measure the same thing, as far as their units say."""
    ours, theirs = given.unit, wanted.unit
    if not ours.known and not theirs.things:
        return False
    if not theirs.known and ours.factor != theirs.factor:
        return False
    if ours.things and theirs.things and ours.things.isdisjoint(theirs.things):
        return False
    return ours.dimension is None or theirs.dimension is None or ours.dimension == theirs.dimension


def official_number(text: str) -> float | None:
    """The number that the official evaluation reads from a text, or None.

    Commas are dropped, the rest is read as Python reads a float; failing that it is a percentage if it holds "%", or a
    constant of the programs (`const_100`, `const_m1` for -1).
    """
    digits, scale = text.replace(",", ""), 1.0
    if "%" in digits:
        digits, scale = digits.replace("%", ""), 100.0
    elif "const" in digits:
        digits = digits.replace("const_", "")
        digits = "-1" if digits == "m1" else digits
    try:
        value = float(digits) / scale
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def officially_equal(answer: str, gold: str) -> bool:
    """Whether the official evaluation's literal rules, applied to words, call an answer right."""
    wanted, given = official_number(gold), official_number(answer)
    if wanted is None:
        return answer.strip() == gold.strip()
    return given is not None and round(given, OFFICIAL_DECIMALS) == round(wanted, OFFICIAL_DECIMALS)


def numeric_scores(answer: str, golds: tuple[str, ...]) -> dict[str, float]:
    """FinQA's `numeric` and `numeric_official` against its one gold answer (the first)."""
    gold = golds[0]
    numeric = _same_text(answer, gold) if the_number(gold) is None else numerically_equal(answer, gold)
    return {"numeric": float(numeric), "numeric_official": float(officially_equal(answer, gold))}


def _same_text(answer: str, gold: str) -> bool:
    """Normalised exact match without markup; to the character but for case if the gold answer has digits (3-5)."""
    given, wanted = plain(answer), plain(gold)
    if re.search(r"\d", wanted):
        return given.rstrip(" .,;!").casefold() == wanted.rstrip(" .,;!").casefold()
    return exact_match(_inner(given), _inner(wanted)) == 1


def _inner(text: str) -> str:
    """A text without the signs at either end (exact match drops those of ASCII alone)."""
    return re.sub(r"\A\W++|(?<!\W)\W++\Z", "", text)
