"""Verifications as JSON: one record a claim, written whole or not at all."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
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


def check_path(path: Path) -> None:
    """Refuse a file that could not be written, before anything is computed.

    Args:
        path: The file.

    Raises:
        ValueError: It is a folder, or its folder does not exist or may not be written to.
    """
    if path.is_dir():
        raise ValueError(f"--json {path}: is a folder; name a file in it")
    if not path.parent.is_dir():
        raise ValueError(f"--json {path}: no folder {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"--json {path}: {path.parent} may not be written to; choose another folder")


def write_records(path: Path, verifications: Iterable[Verification]) -> None:
    """Write the records as a JSON list.

    Args:
        path: The file, replaced at once when all is written.
        verifications: In the order of the list.

    Raises:
        OSError: Writing failed; the file is as before.
    """
    text = json.dumps([record(one) for one in verifications], indent=1, ensure_ascii=False, allow_nan=False)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def _numbers(array: np.ndarray) -> Any:
    if array.ndim:
        return [_numbers(row) for row in array]
    return float(array) if np.isfinite(array) else None
