"""Read the transformer's evidence from the data files of the studies."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qtheory.claims.claim import MissingEvidence
from qtheory.escape.measured import Norm, interpolated_norm, measured_time
from qtrain.runs.folder import ESCAPED

DATA = Path(__file__).parents[1] / "data"


def study_rows(name: str, folder: Path = DATA) -> list[dict[str, Any]]:
    """The runs of a study, as `figures.studies.study.run_study` describes them.

    Args:
        name: The study.
        folder: Folder of NAME.json.

    Returns:
        One mapping per run.

    Raises:
        MissingEvidence: NAME.json cannot be read or holds another study; the message names the command that makes it.
    """
    path = folder / f"{name}.json"
    try:
        study = json.loads(path.read_text(encoding="utf-8"))
        if study["study"] != name:
            raise ValueError
        return study["rows"]
    except (OSError, ValueError, KeyError, TypeError):
        raise MissingEvidence(f"{path}: no data of the study {name}; `python -m figures run {name}` makes it") from None


def measured_norms(folder: Path = DATA) -> dict[tuple[int, float], Norm]:
    """||s||^2 along the path from each start, by base and requested p0, from the study `escape_exponents`."""
    return {
        (row["seed"], row["p0_wanted"]): interpolated_norm(row["score_norm"]["log_p"], row["score_norm"]["norm_sq"])
        for row in study_rows("escape_exponents", folder)
        if "score_norm" in row
    }


@dataclass(frozen=True, eq=False)
class AdamRuns:
    """The study `adam_epsilon` and the law (eps/lr) times the flow's time; N runs, sorted by q, then p0 and eps.

    Attributes:
        q: (N,) orders.
        eps: (N,) Adam's epsilon.
        p0: (N,) P at the start, as measured.
        seed: (N,) bases.
        updates: (N,) updates before the escape, NaN if the run did not escape within the budget.
        budget: Largest number of updates of a run.
        floor: (N,) updates of the same run at the smallest epsilon: what Adam needs if epsilon does not matter.
        law: (N,) (eps/lr) integral of e^(-(1-q) L)/||s||^2 dL with the ||s||^2 measured from that start: the updates
            that SGD would need at the rate lr/eps.
    """

    q: np.ndarray
    eps: np.ndarray
    p0: np.ndarray
    seed: np.ndarray
    updates: np.ndarray
    budget: int
    floor: np.ndarray
    law: np.ndarray


def adam_runs(folder: Path = DATA) -> AdamRuns:
    """Read the study `adam_epsilon`.

    Raises:
        MissingEvidence: The study, or `escape_exponents`, is missing or lacks a start.
    """
    norms, rows = measured_norms(folder), study_rows("adam_epsilon", folder)
    rows = sorted(rows, key=lambda row: (row["q"], -row["p0_wanted"], row["eps"], row["seed"]))
    smallest = min(row["eps"] for row in rows)
    updates = {
        _setting(row, row["eps"]): math.nan if row["escape_step"] is None else row["escape_step"] - 1.0 for row in rows
    }
    try:
        law = [
            row["eps"] / row["lr"] * measured_time(row["p0"], ESCAPED, row["q"], norms[row["seed"], row["p0_wanted"]])
            for row in rows
        ]
    except KeyError as error:
        raise MissingEvidence(
            f"escape_exponents has no ||s||^2 from the start (base, p0) {error}: run it on more"
        ) from None
    columns = {name: np.array([row[name] for row in rows]) for name in ("q", "eps", "p0", "seed")}
    return AdamRuns(
        **columns,
        updates=np.array([updates[_setting(row, row["eps"])] for row in rows]),
        budget=max(row["steps"] for row in rows),
        floor=np.array([updates[_setting(row, smallest)] for row in rows]),
        law=np.array(law),
    )


def _setting(row: dict[str, Any], eps: float) -> tuple[Any, ...]:
    return row["q"], row["p0_wanted"], row["seed"], eps
