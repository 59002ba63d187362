"""How estimators and numbers are written in figures, captions and tables."""

from collections.abc import Sequence

PLAIN = {"grpo": "GRPO", "rb_rloo": "RB-RLOO (q = 0)", "garl": "GARL", "paft": "PAFT"}


def split(estimator: str) -> tuple[str, str]:
    """A result's `estimator` ("garl:q=0.75") in its name and its parameters as text."""
    name, _, parameters = estimator.partition(":")
    return name, parameters


def long_name(estimator: str) -> str:
    """The name for tables: "GARL q = 0.75"."""
    name, parameters = split(estimator)
    return " ".join([PLAIN.get(name, name), *(pair.replace("=", " = ") for pair in parameters.split(",") if pair)])


def short_name(estimator: str, q: float | None) -> str:
    """The name for legends: GARL and its case q = 0 go by their q."""
    if q is not None and split(estimator)[0] in ("garl", "rb_rloo"):
        return f"q = {q:g}"
    return long_name(estimator)


def power(value: float) -> str:
    """Two or three digits, in scientific form below 0.1 and from 1000 on, without leading zeros: 6.1e-7, 31.6."""
    if 0.1 <= value < 1000:
        return f"{value:.3g}"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def share(value: float | None) -> str:
    """A success rate with three decimals, or that the run diverged."""
    return "diverged" if value is None else f"{value:.3f}"


def mean(values: Sequence[float | None]) -> float | None:
    """The mean, None where some run diverged: a mean over the others would speak for them alone."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def listed(words: Sequence[str]) -> str:
    """Words as an English list, "none" for no words."""
    if len(words) < 2:
        return "".join(words) or "none"
    return f"{', '.join(words[:-1])} and {words[-1]}"
