"""Verifications as JSON: one record a claim."""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from qtheory.claims.claim import Verification


def record(verification: Verification) -> dict[str, Any]:
    """What `qtheory verify --json` says of a claim.

    Args:
        verification: A claim with its evidence.

    Returns:
        Its label, statement, verdict, condition, agrees, seconds, figure and source, and three mappings by
        the name of each comparison: measured and predicted, nested lists of numbers (null where not finite),
        and tolerance, {value, kind, relation} as in `Comparison`.
    """
    claim, comparisons = verification.claim, verification.evidence.comparisons
    return {
        "label": claim.label,
        "statement": claim.statement,
        "verdict": claim.verdict,
        "condition": claim.condition,
        "measured": {one.what: _numbers(one.measured) for one in comparisons},
        "predicted": {one.what: _numbers(one.predicted) for one in comparisons},
        "tolerance": {
            one.what: {"value": one.tolerance, "kind": one.kind, "relation": one.relation} for one in comparisons
        },
        "agrees": verification.agrees,
        "seconds": round(verification.seconds, 3),
        "figure": claim.figure,
        "source": claim.source,
    }


def records(verifications: Iterable[Verification]) -> str:
    """The records as a JSON list, in the order of the verifications, with one newline at its end."""
    listed = [record(one) for one in verifications]
    return json.dumps(listed, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _numbers(array: np.ndarray) -> Any:
    if array.ndim:
        return [_numbers(row) for row in array]
    return float(array) if np.isfinite(array) else None
