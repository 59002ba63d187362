"""Write verifications as JSON, one record per claim."""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from qtheory.claims.claim import Verification


def record(verification: Verification) -> dict[str, Any]:
    """The record of a claim in `qtheory verify --json`.

    Args:
        verification: A claim with its evidence.

    Returns:
        label, statement, verdict, condition, agrees, seconds, figure and source, and three mappings by the name of each
        comparison: measured and predicted, nested lists of numbers (null if not finite), and tolerance, {value, kind,
        relation} as in `Comparison`.
    """
    claim, comparisons = verification.claim, verification.evidence.comparisons
    return {
        "label": claim.label,
        "statement": claim.statement,
        "verdict": claim.verdict,
        "condition": claim.condition,
        "measured": {comparison.what: _numbers(comparison.measured) for comparison in comparisons},
        "predicted": {comparison.what: _numbers(comparison.predicted) for comparison in comparisons},
        "tolerance": {
            comparison.what: {"value": comparison.tolerance, "kind": comparison.kind, "relation": comparison.relation}
            for comparison in comparisons
        },
        "agrees": verification.agrees,
        "seconds": round(verification.seconds, 3),
        "figure": claim.figure,
        "source": claim.source,
    }


def records(verifications: Iterable[Verification]) -> str:
    """The records as a JSON list, in the order of the verifications, with a final newline."""
    listed = [record(verification) for verification in verifications]
    return json.dumps(listed, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _numbers(array: np.ndarray) -> Any:
    if array.ndim:
        return [_numbers(row) for row in array]
    return float(array) if np.isfinite(array) else None
