"""Hostile or long text made safe to look at, and numbers made words."""

import math
import unicodedata

LONGEST = 1200
"""Characters of one model text that the page shows."""


def visible(text: str) -> str:
    """Text in which nothing acts unseen: controls, lone surrogates, direction marks and the like become ⟨U+XXXX⟩.

    Line feeds stay. Escaping for HTML is the template's work.
    """
    return "".join(one if one == "\n" or one.isprintable() else _code(one) for one in text)


def _code(one: str) -> str:
    """Unicode's separators count as printing nothing, but a no-break or wide space harms nobody."""
    return one if unicodedata.category(one) == "Zs" else f"⟨U+{ord(one):04X}⟩"


def shortened(text: str) -> str:
    """The text, or its beginning with the length of the whole."""
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]} […cut: the first {LONGEST:,} of {len(text):,} characters]"


def number(value: float | None, form: str) -> str:
    """A number with a true minus sign; a dash for none."""
    if value is None:
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:{form}}".replace("-", "−")


def scientific(value: float | None) -> str:
    """A small probability: 5.5e−7."""
    if value is None or value == 0 or not math.isfinite(value):
        return number(value, "g")
    mantissa, exponent = f"{value:.1e}".split("e")
    return number(float(mantissa), ".1f") + "e" + number(int(exponent), "d")
