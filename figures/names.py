"""Format estimators and numbers for figures, captions and tables."""

from collections.abc import Sequence

PLAIN = {"grpo": "GRPO", "rb_rloo": "RB-RLOO (q = 0)", "garl": "GARL", "paft": "PAFT"}


def split(estimator: str) -> tuple[str, str]:
    """Split a result's `estimator` ("garl:q=0.75") into name and parameters."""
    name, _, parameters = estimator.partition(":")
    return name, parameters


def long_name(estimator: str) -> str:
    """The name for tables: "GARL q = 0.75"."""
    name, parameters = split(estimator)
    return " ".join([PLAIN.get(name, name), *(pair.replace("=", " = ") for pair in parameters.split(",") if pair)])


def short_name(estimator: str, q: float | None) -> str:
    """The name for legends: GARL and RB-RLOO are named by their q."""
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
    """A success rate with three decimals, "diverged" for None."""
    return "diverged" if value is None else f"{value:.3f}"


def mean(values: Sequence[float | None]) -> float | None:
    """The mean, None if a run diverged: a mean over the others would be misleading."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def listed(items: Sequence[str]) -> str:
    """Items as an English list, "none" for no items."""
    if len(items) < 2:
        return "".join(items) or "none"
    return f"{', '.join(items[:-1])} and {items[-1]}"
