"""FinQA's two scores of a free-text answer: `numeric`, this project's rule, and `numeric_official`, the literal one.

docs/scores.md has a table of both rules with an example of each notation. In short, the rules of `numeric` are:

- An answer must name the gold answer's number, and a text names a number only if it holds exactly one.
- Tolerance: the answer, rounded to the gold answer's last digit, must equal the gold answer (for 34.7%, answers from
  34.65% to 34.75% are correct, both ends included). More digits than the gold's are correct, fewer are not.
- Scale words, currencies and counted nouns belong to amounts; percent, basis points and `x` belong to ratios. An amount
  never equals a ratio or an amount of something else, and an unknown unit equals only itself.
- If both texts have a factor (a scale word or the unit of a ratio), the values with their factors are compared. If only
  one text has a factor, its value counts with or without it: for 34.7%, both 34.7 and .347 are correct.
- A gold answer without a number (yes, no) is compared by normalised exact match.

The official evaluation (github.com/czyssrs/FinQA, code/evaluate/evaluate.py at commit dfc5b72c01ee) has no rule for
free text: it executes a predicted program, rounds the result to five decimals, and checks whether it equals the
record's `exe_ans`. `numeric_official` applies the literal parts of that to a text: its way of reading the numbers of a
program, equality after rounding to five decimals, and character equality for yes and no. The gold side is the record's
`answer`, because `exe_ans` is not rounded as answers are (.34719 for an answer of 34.7%). The score is therefore not
the published execution accuracy, and there is no official output to check it against.
"""

import math
import re
from fractions import Fraction

from qtrain.scoring.number import Number, parse_number
from qtrain.scoring.plain import plain
from qtrain.scoring.spans import exact_match

OFFICIAL_DECIMALS = 5
"""Decimals that the official evaluation rounds to."""


def numerically_equal(answer: str, gold: str) -> bool:
    """True if an answer names the gold answer's number, within half a unit of the gold's last digit.

    Raises:
        ValueError: The gold answer names no number.
    """
    wanted, given = parse_number(gold), parse_number(answer)
    if wanted is None:
        raise ValueError(f"gold answer {gold!r} names no number")
    if given is None or not _comparable(given, wanted):
        return False
    tolerance = Fraction(10) ** -wanted.decimals / 2
    # The answer's value in units of the gold answer, with and without a factor that only one text has.
    readings = {given.total / (1 if wanted.unit.factor is None else wanted.unit.factor)}
    if given.unit.factor is None or wanted.unit.factor is None:
        readings.add(given.value)
    return any(abs(reading - wanted.value) <= tolerance for reading in readings)


def _comparable(given: Number, wanted: Number) -> bool:
    """True if the units of two numbers allow that they measure the same thing."""
    unit, gold_unit = given.unit, wanted.unit
    if not unit.known and not gold_unit.things:
        return False
    if not gold_unit.known and unit.factor != gold_unit.factor:
        return False
    if unit.things and gold_unit.things and unit.things.isdisjoint(gold_unit.things):
        return False
    return unit.dimension is None or gold_unit.dimension is None or unit.dimension == gold_unit.dimension


def official_number(text: str) -> float | None:
    """Read a number as the official evaluation does; None if the text is not a number.

    Commas are dropped. A text with "%" is read as a percentage, `const_100` or `const_m1` (for -1) as a constant of the
    programs, and any other text as a Python float.
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
    """True if an answer is correct by the official evaluation's literal rules, applied to free text."""
    wanted, given = official_number(gold), official_number(answer)
    if wanted is None:
        return answer.strip() == gold.strip()
    return given is not None and round(given, OFFICIAL_DECIMALS) == round(wanted, OFFICIAL_DECIMALS)


def numeric_scores(answer: str, golds: tuple[str, ...]) -> dict[str, float]:
    """FinQA's scores `numeric` and `numeric_official` against the first gold answer, the only one in FinQA."""
    gold = golds[0]
    numeric = _same_text(answer, gold) if parse_number(gold) is None else numerically_equal(answer, gold)
    return {"numeric": float(numeric), "numeric_official": float(officially_equal(answer, gold))}


def _same_text(answer: str, gold: str) -> bool:
    """Normalised exact match without markup; equality up to case if the gold answer has digits, as in 3-5."""
    given, wanted = plain(answer), plain(gold)
    if re.search(r"\d", wanted):
        return given.rstrip(" .,;!").casefold() == wanted.rstrip(" .,;!").casefold()
    return exact_match(_inner(given), _inner(wanted)) == 1


def _inner(text: str) -> str:
    """Strip punctuation from both ends of a text (exact match drops ASCII punctuation alone)."""
    return re.sub(r"\A\W++|(?<!\W)\W++\Z", "", text)
