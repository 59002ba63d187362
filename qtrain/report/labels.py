"""Format estimator names, section titles, numbers and untrusted text for the page."""

import math
import unicodedata
from typing import Any

ESTIMATOR_NAMES = {
    "garl": "GARL",
    "paft": "PAFT",
    "rb_rloo": "RB-RLOO",
    "iwae": "IWAE",
    "trice": "TRICE",
    "grpo": "GRPO",
    "dr_grpo": "Dr. GRPO",
    "rloo": "RLOO",
    "maxrl": "MaxRL",
    "star": "STaR",
    "jepo": "JEPO",
    "pkpo": "PKPO",
    "rb_pkpo": "RB-PKPO",
}
GARL_FAMILY = {"garl": None, "rb_rloo": 0.0, "iwae": 1.0}
"""GARL and its special cases, with the q that each fixes."""
PAFT_FAMILY = {"paft": None, "trice": 1.0}
"""PAFT and its special case, with the q that it fixes."""
MAX_CHARACTERS = 1200
"""Longest model text that the page shows whole."""


def split(estimator: str) -> tuple[str, dict[str, str]]:
    """Split a result's `estimator` ("garl:q=0.75") into its name and parameters."""
    name, _, parameters = estimator.partition(":")
    return name, dict(pair.split("=", 1) for pair in parameters.split(",") if "=" in pair)


def estimator_name(estimator: str) -> str:
    """The name in tables: "GARL, q = 0.75", with no break at the "="; special cases name the general estimator."""
    name, params = split(estimator)
    parts = [
        ESTIMATOR_NAMES.get(name, name),
        *(f"{key} = {params[key]}" for key in sorted(params, key=lambda key: key != "q")),
    ]
    for family, members in (("GARL", GARL_FAMILY), ("PAFT", PAFT_FAMILY)):
        if members.get(name) is not None:
            parts.append(f"{family} at q = {members[name]:g}")
    return ", ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts)


def short_name(estimator: str) -> str:
    """The name at curves: members of the GARL family are named by their q."""
    name, params = split(estimator)
    if name == "garl":
        return ", ".join(f"{key} = {value}" for key, value in sorted(params.items(), key=lambda pair: pair[0] != "q"))
    if GARL_FAMILY.get(name) is not None:
        return f"q = {GARL_FAMILY[name]:g} ({ESTIMATOR_NAMES[name]})"
    return " ".join([ESTIMATOR_NAMES.get(name, name), *params.values()])


def sort_key(estimator: str, q: float | None) -> tuple[bool, bool, float, str]:
    """Order estimators in tables: GRPO, then the others outside the continuum, then by q."""
    name = split(estimator)[0]
    return name != "grpo", q is not None, q or 0.0, estimator


def section_name(config: dict[str, Any]) -> str:
    """A configuration's title; by default its name with spaces: "cold_start" -> "Cold start"."""
    title = str(config.get("title") or config["name"]).replace("_", " ")
    return title[:1].upper() + title[1:]


def visible(text: str) -> str:
    """Replace invisible characters (controls, lone surrogates, direction marks and the like) by ⟨U+XXXX⟩.

    Line feeds are kept. The template escapes for HTML.
    """
    return "".join(char if char == "\n" or char.isprintable() else _code_point(char) for char in text)


def _code_point(char: str) -> str:
    """Spaces are kept: Python counts the no-break and wide ones as not printable, but they are harmless."""
    return char if unicodedata.category(char) == "Zs" else f"⟨U+{ord(char):04X}⟩"


def shortened(text: str) -> str:
    """The text, or its first MAX_CHARACTERS characters with a note of the full length."""
    if len(text) <= MAX_CHARACTERS:
        return text
    return f"{text[:MAX_CHARACTERS]} […cut: the first {MAX_CHARACTERS:,} of {len(text):,} characters]"


def number(value: float | None, form: str) -> str:
    """Format a number with a true minus sign, None as a dash."""
    if value is None:
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:{form}}".replace("-", "−")


def scientific(value: float | None) -> str:
    """Format a small probability: 5.5e−7."""
    if value is None or value == 0 or not math.isfinite(value):
        return number(value, "g")
    mantissa, exponent = f"{value:.1e}".split("e")
    return number(float(mantissa), ".1f") + "e" + number(int(exponent), "d")
