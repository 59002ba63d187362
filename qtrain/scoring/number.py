r"""Parse the single number in a text: sign, digits, power of ten and unit, in the notations of reports and models.

The text is normalised first (`qtrain.scoring.plain`). Its first run of digits is read together with the signs directly
before it (minus sign, bracket, currency) and after it (power of ten, bracket, unit). A text with another run of digits
holds several numbers and is rejected, except for a bracket that repeats the number, as in `-93 ( 93 )`.

No pattern backtracks over more than a few dozen characters, so the time is linear in the length of the text.
"""

import re
import unicodedata
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from qtrain.scoring.plain import plain

LONGEST = 40
"""Characters of the longest number that is parsed; reports have no longer ones."""

LONGEST_EXPONENT = 3
"""Digits of the longest exponent of ten that is parsed; larger powers would only cost memory."""

SCALES = {
    Fraction(10**2): ("hundred", "hundreds"),
    Fraction(10**3): ("thousand", "thousands", "K"),
    Fraction(10**6): ("million", "millions", "M", "mm", "mn", "mln", "mio"),
    Fraction(10**9): ("billion", "billions", "B", "bn", "bln"),
    Fraction(10**12): ("trillion", "trillions", "T", "tn", "trn"),
}
"""Scale words by their factor."""

RATIOS = {
    Fraction(1, 10**2): (
        *("%", "percent", "per cent", "pct", "percentage point", "percentage points", "percent points", "pp"),
        "per hundred",
    ),
    Fraction(1, 10**3): ("‰", "per mille", "permille", "per thousand"),
    Fraction(1, 10**4): ("‱", "bp", "bps", "basis point", "basis points"),
    Fraction(1): ("x", "×", "times"),
}
"""Units of a ratio by their factor; `2.5x` is 250%."""

_OWN_DOLLAR = {
    **{"us": "USD", "c": "CAD", "ca": "CAD", "a": "AUD", "au": "AUD", "nz": "NZD", "hk": "HKD", "s": "SGD"},
    **{"nt": "TWD", "mx": "MXN", "r": "BRL"},
}
_DOLLARS = frozenset(_OWN_DOLLAR.values()) - {"BRL"}
_CODES = (
    *sorted(_DOLLARS),
    *("EUR", "GBP", "JPY", "CNY", "RMB", "CHF", "INR", "KRW", "BRL", "SEK", "NOK", "DKK", "PLN", "CZK", "HUF"),
    *("ILS", "ZAR", "RUB", "THB", "IDR", "MYR", "PHP", "AED", "SAR", "ARS", "CLP"),
)
CURRENCIES = {
    **{code.lower(): frozenset({code}) for code in _CODES},
    **{f"{prefix}$": frozenset({code}) for prefix, code in _OWN_DOLLAR.items()},
    **dict.fromkeys(("$", "dollar", "dollars"), _DOLLARS),
    **dict.fromkeys(("us dollar", "us dollars"), frozenset({"USD"})),
    **dict.fromkeys(("€", "euro", "euros"), frozenset({"EUR"})),
    **dict.fromkeys(("£", "pound", "pounds", "sterling"), frozenset({"GBP"})),
    **dict.fromkeys(("yuan", "renminbi", "rmb"), frozenset({"CNY"})),
    **dict.fromkeys(("₹", "rs", "rupee", "rupees"), frozenset({"INR"})),
    "yen": frozenset({"JPY"}),
    "¥": frozenset({"JPY", "CNY"}),
}
"""The currencies that a symbol, code or word for money may mean, by its lower-case form."""

THINGS = frozenset(
    (
        *("share", "stock", "unit", "option", "warrant", "award", "bond", "note", "loan", "lease", "contract"),
        *("year", "month", "week", "day", "hour"),
        *("person", "people", "employee", "worker", "customer"),
        *("company", "subsidiary", "segment", "branch", "bank", "country", "state"),
        *("store", "restaurant", "hotel", "property", "building", "facility", "plant", "site", "location"),
        *("vehicle", "car", "aircraft", "ship", "item", "case", "claim", "patent"),
        *("barrel", "ton", "tonne", "gallon", "acre", "mile", "foot", "feet", "square"),
    )
)
"""Counted nouns, in the singular, which do not change the number: `5 shares` is 5."""

PLAIN_WORDS = frozenset(
    (
        *("of", "in", "for", "at", "on", "by", "as", "per", "from", "during", "after", "before"),
        *("is", "was", "were", "are", "which", "that", "since", "because", "based", "compared", "due"),
        *("rounded", "approximately", "approx", "estimated", "total"),
    )
)
"""Words that may follow a number but are not its unit."""

_NUMBER_WORDS = frozenset(
    (
        *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
        *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
        *("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred"),
    )
)


def _by_word(table: dict[Fraction, tuple[str, ...]]) -> dict[str, Fraction]:
    return {word.lower(): factor for factor, words in table.items() for word in words}


_SCALE_OF, _RATIO_OF = _by_word(SCALES), _by_word(RATIOS)


@dataclass(frozen=True)
class Unit:
    """The unit of a number.

    Attributes:
        factor: Factor of the scale word, percent sign or similar; None if there is none.
        ratio: Whether it is the unit of a ratio (%, basis points, times) and not a scale word.
        things: The counted thing, if the text names it: currency codes, a noun, or an unknown unit.
        known: False for a word that is neither a unit, nor a counted noun, nor one of `PLAIN_WORDS`.
    """

    factor: Fraction | None = None
    ratio: bool = False
    things: frozenset[str] = frozenset()
    known: bool = True

    @property
    def dimension(self) -> Literal["ratio", "amount"] | None:
        """Ratio, amount (scaled, of money or of things), or None if the text has no unit."""
        if self.ratio:
            return "ratio"
        return None if self.factor is None and not self.things else "amount"


@dataclass(frozen=True)
class Number:
    """A parsed number.

    Attributes:
        value: The value without the unit.
        decimals: Decimal place of the last digit: `value` is a multiple of 10^-decimals.
        unit: The unit.
        alone: Whether the text has no words besides the number and its unit.
    """

    value: Fraction
    decimals: int
    unit: Unit
    alone: bool

    @property
    def total(self) -> Fraction:
        """The value times the factor of its unit."""
        return self.value * (1 if self.unit.factor is None else self.unit.factor)


_RUN = re.compile(r"(?<![\w.,])\.?\d[\d.,]*+")  # digits that are not part of a name such as Q3
_DIGITS = re.compile(r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+")
_RAISED = r"[ ]?(?:\^|\*\*)[ ]?(?:\([ ]?(?P<inner>[-+]?[ ]?\d++)[ ]?\)|(?P<power>[-+]?[ ]?\d++))(?![.,]?\d)"
_TEN_TO_THE = re.compile(_RAISED)
_TIMES_TEN_TO_THE = re.compile(rf"\.?[eE](?P<e>[-+]?\d++)(?![.,]?\d)|[ ]?[xX×*][ ]?10{_RAISED}")

_MONEY = rf"(?<![^\W_])(?:{'|'.join(_OWN_DOLLAR)})\$|[$£¥฿\u20a0-\u20cf]"
_CODE = rf"(?<![^\W_])(?:{'|'.join(_CODES)})"
_GLUED_CODE = re.compile(rf"({_CODE})(?=[\d.])", re.IGNORECASE)
_BEFORE = re.compile(
    rf"""(?:(?P<minus>-|\b(?:minus|negative)\b)|(?P<plus>\+)|(?P<bracket>\()|(?P<percent>%)
        |(?P<money>{_MONEY}|{_CODE}|(?<![^\W_])rs(?=\b)))\.?[ ]?\Z
    """,
    re.VERBOSE | re.IGNORECASE,
)
_NO_VALUE_AFTER = re.compile(r"(?:[\^/<≤≥±∓√≠]|(?<![-=])>|\b(?:than|least|most))[ ]?\Z", re.IGNORECASE)
_HEADING = re.compile(
    r"\b(?:((?:thousand|million|billion|trillion)s)|in ((?:thousand|million|billion|trillion)))[ ]?\)?[ ]?[:=]?[ ]?\Z",
    re.IGNORECASE,
)
_NEXT = re.compile(
    rf"(?P<gap>,?[ ]in[ ]|-|[ ]?)(?P<word>{_MONEY}|[%‰‱×°\u3200-\u33ff]|(?:[^\W\d_]\.){{2,}}|[^\W\d_][\w^]*+)"
    r"(?:[ -](?P<second>[^\W\d_]++))?",
    re.IGNORECASE,
)
_OPEN_END = re.compile(r"-(?![^\W_])|_")
_ASIDE = re.compile(r"[ ]?\([ ]?(?:in[ ])?([^()]{1,40}+)\)")
_CLOSE = re.compile(r"[ ]?\)")
_REACH = 64
"""Number of characters before a number that are searched for its sign, currency and heading."""


def parse_number(text: str) -> Number | None:
    """Parse the single number in a text; None if it has no number or several."""
    return _read(_GLUED_CODE.sub(r"\1 ", plain(text)))


def _read(text: str) -> Number | None:
    run = _RUN.search(text)
    if run is None or len(run[0]) > 2 * LONGEST:
        return None
    lead = _read_lead(text, run.start())
    digits = _read_digits(text, run.start(), run[0].rstrip(".,"))
    if lead is None or digits is None:
        return None
    value, decimals, end = digits
    unit, unit_end, closed = _read_unit(text, end, bracket=lead.bracket)
    # An accountant's bracket closes directly after the number and its unit. 5- and 5_000 have no agreed meaning.
    if lead.bracket != closed or _OPEN_END.match(text, unit_end):
        return None
    if unit.factor is None:
        unit = _read_leading_unit(text[: lead.begin], lead, unit)
    if not unit.things:
        unit = replace(unit, things=lead.things)
    negative = lead.minus or (lead.bracket and not lead.plus and not lead.spelled_out)
    number = Number(-value if negative else value, decimals, unit, alone=False)
    if (aside := _ASIDE.match(text, unit_end)) and _RUN.search(aside[1]):
        if not _repeats(aside[1], number):
            return None
        unit_end = aside.end()
    if _RUN.search(text, unit_end):
        return None
    around = (text[: lead.begin], text[unit_end:])
    return replace(number, alone=not any(char.isalpha() for part in around for char in part))


def _read_digits(text: str, start: int, digits: str) -> tuple[Fraction, int, int] | None:
    """Value, decimals and end of the digits at `start` with their power of ten; None if they are not a number."""
    end = start + len(digits)
    if not _DIGITS.fullmatch(digits) or len(digits := digits.replace(",", "")) > LONGEST:
        return None
    value, decimals = Fraction(digits), len(digits.partition(".")[2])
    if digits == "10" and (raised := _TEN_TO_THE.match(text, end)):
        value = Fraction(1)
    elif not (raised := _TIMES_TEN_TO_THE.match(text, end)):
        return value, decimals, end
    exponent = next(filter(None, raised.groups())).replace(" ", "")
    if len(exponent.lstrip("+-")) > LONGEST_EXPONENT:
        return None
    return value * Fraction(10) ** int(exponent), decimals - int(exponent), raised.end()


@dataclass(frozen=True)
class _Lead:
    """The signs directly before a number.

    Attributes:
        begin: Position of the first of them.
        minus: Whether there is a minus sign.
        plus: Whether there is a plus sign.
        bracket: Whether there is an opening bracket.
        spelled_out: Whether the number in words precedes the bracket, as in `three (3)`.
        percent: Whether there is a percent sign.
        things: The currency, if there is one.
    """

    begin: int
    minus: bool
    plus: bool
    bracket: bool
    spelled_out: bool
    percent: bool
    things: frozenset[str]


def _read_lead(text: str, start: int) -> _Lead | None:
    """Read the signs directly before the number at `start`; None if they make the number ambiguous."""
    left = text[max(0, start - _REACH) : start]
    begin = start - len(left)
    parts: list[tuple[str, str]] = []
    while match := _BEFORE.search(left):
        kind = match.lastgroup or ""
        parts.append((kind, match[kind].lower()))
        left = left[: match.start()]
    kinds = [kind for kind, _ in parts]
    # Two signs ("--5", "+-5"), a sign glued to a word ("x-5", "f(5)"), a bound ("<5").
    glued = bool(parts) and kinds[-1] != "money" and re.search(r"\w\Z", left)
    if kinds.count("minus") + kinds.count("plus") > 1 or kinds.count("bracket") > 1 or glued:
        return None
    if _NO_VALUE_AFTER.search(left):
        return None
    words = re.findall(r"[a-z]+", left.lower())[-2:]
    money = [CURRENCIES.get(name, frozenset({name})) for kind, name in parts if kind == "money"]
    return _Lead(
        begin + len(left),
        minus="minus" in kinds,
        plus="plus" in kinds,
        bracket="bracket" in kinds,
        spelled_out=not _NUMBER_WORDS.isdisjoint(words),
        percent="percent" in kinds,
        things=money[0] if money else frozenset(),
    )


def _read_leading_unit(left: str, lead: _Lead, unit: Unit) -> Unit:
    """Read a unit that precedes its number: `%5`, `in millions: 5`."""
    if lead.percent:
        return replace(unit, factor=_RATIO_OF["%"], ratio=True)
    heading = _HEADING.search(left[-_REACH:])
    return unit if heading is None else replace(unit, factor=_SCALE_OF[(heading[1] or heading[2]).lower()])


def _read_unit(text: str, end: int, *, bracket: bool) -> tuple[Unit, int, bool]:
    """Read the unit after a number; returns the unit, its end, and whether the number's bracket closes there."""
    unit, closed = Unit(), False
    for _ in range(4):
        if bracket and not closed and (close := _CLOSE.match(text, end)):
            end, closed = close.end(), True
        word = None if unit.ratio else _NEXT.match(text, end)
        if word is None:
            break
        unit, word_end = _extend_unit(unit, word)
        if word_end is None:
            break
        end = word_end
    if bracket or unit.factor is not None or not unit.known:
        return unit, end, closed
    if (aside := _ASIDE.match(text, end)) and not _RUN.search(aside[1]):
        inner, inner_end, _ = _read_unit(aside[1], 0, bracket=True)
        words = re.findall(r"[^\W_]+", aside[1].lower())
        # A bracket holds the unit, the number in words, a single unknown word (taken for a unit), or a remark.
        if inner_end or (len(words) == 1 and words[0] not in _NUMBER_WORDS):
            return replace(inner, things=inner.things or unit.things), aside.end(), closed
    return unit, end, closed


def _extend_unit(unit: Unit, match: re.Match[str]) -> tuple[Unit, int | None]:
    """Extend a unit by the word after it; returns the unit and the word's end, None if the word is not part of it."""
    gap, word = match["gap"], match["word"].replace(".", "").lower()
    second = (match["second"] or "").lower()
    for name, end in ((f"{word} {second}", match.end()), (word, match.end("word"))):
        # 10-K is the name of a form, and t is a ton.
        if (gap == "-" and len(name) < 3) or match["word"] == "t":
            continue
        if name in _SCALE_OF:
            return replace(unit, factor=(unit.factor or 1) * _SCALE_OF[name]), end
        if name in _RATIO_OF:
            return replace(unit, factor=(unit.factor or 1) * _RATIO_OF[name], ratio=True), end
        if name in CURRENCIES:
            return replace(unit, things=CURRENCIES[name]), end
    if unicodedata.category(word[0]) == "Sc":
        return replace(unit, things=frozenset({word})), match.end("word")
    singulars = {word, word.removesuffix("s"), word.removesuffix("es"), re.sub("ies$", "y", word)}
    if singulars & THINGS:
        return replace(unit, things=unit.things or frozenset(singulars & THINGS)), None
    is_plain = word in PLAIN_WORDS and not (word == "per" and second in _SCALE_OF)
    if is_plain or "in" in gap or unit != Unit():
        return unit, None
    return Unit(things=frozenset({word.removesuffix("s")}), known=False), None


def _repeats(aside: str, number: Number) -> bool:
    """True if a bracket repeats the number, with or without its sign."""
    again = _read(aside)
    return (
        again is not None
        and again.unit.known
        and abs(again.total) == abs(number.total)
        and (again.value >= 0 or number.value < 0)
    )
