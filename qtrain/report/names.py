"""How estimators and comparisons are called on the page, and in which order estimators stand."""

from typing import Any

NAMES = {
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


def split(estimator: str) -> tuple[str, dict[str, str]]:
    """A result's `estimator` ("garl:q=0.75") in its name and parameters."""
    name, _, rest = estimator.partition(":")
    return name, dict(pair.split("=", 1) for pair in rest.split(",") if "=" in pair)


def estimator_name(estimator: str) -> str:
    """The name for tables: "GARL, q = 0.75" (unbroken at the "="); special cases say what they are a case of."""
    name, params = split(estimator)
    words = [NAMES.get(name, name), *(f"{key} = {params[key]}" for key in sorted(params, key=lambda key: key != "q"))]
    for family, members in (("GARL", GARL_FAMILY), ("PAFT", PAFT_FAMILY)):
        if members.get(name) is not None:
            words.append(f"{family} at q = {members[name]:g}")
    return ", ".join(word.replace(" ", "\N{NO-BREAK SPACE}") for word in words)


def short_name(estimator: str) -> str:
    """The name for curves: members of the GARL family go by their q."""
    name, params = split(estimator)
    if name == "garl":
        return ", ".join(f"{key} = {value}" for key, value in sorted(params.items(), key=lambda pair: pair[0] != "q"))
    if GARL_FAMILY.get(name) is not None:
        return f"q = {GARL_FAMILY[name]:g} ({NAMES[name]})"
    return " ".join([NAMES.get(name, name), *params.values()])


def section_name(config: dict[str, Any]) -> str:
    """A configuration's title, by default its name as words: "cold_start" -> "Cold start"."""
    words = str(config.get("title") or config["name"]).replace("_", " ")
    return words[:1].upper() + words[1:]


def order(estimator: str, q: float | None) -> tuple[bool, bool, float, str]:
    """Sort key: GRPO, the others outside the continuum, then by q."""
    name = split(estimator)[0]
    return name != "grpo", q is not None, q or 0.0, estimator
