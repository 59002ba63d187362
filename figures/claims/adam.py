"""QC-6 on the transformer: Adam's epsilon as a threshold, and the effect of one common scale per batch."""

import math
from typing import Any

import numpy as np

from figures.claims.testbed import adam_runs, study_rows
from qtheory.claims.claim import Comparison

STUCK, OUT = 0.02, 0.05  # p@1 at the end; a run above OUT has escaped


def on_the_transformer() -> tuple[Comparison, ...]:
    """Comparisons with the runs of the studies adam_epsilon and common_factor."""
    return (*_threshold(), *_common_factor())


def _threshold() -> tuple[Comparison, ...]:
    runs = adam_runs()
    law, finished = runs.law + runs.floor, np.isfinite(runs.updates)
    slow = finished & (runs.law > runs.floor)
    smallest = runs.eps == runs.eps.min()
    floors = runs.updates[smallest]
    at_one = floors[runs.q[smallest] == 1]
    return (
        Comparison(
            "transformer: log updates, log of the law (eps/lr) T_q + the updates at eps 1e-8",
            np.log(runs.updates[slow]),
            np.log(law[slow]),
            math.log(2),
            "absolute",
        ),
        Comparison(
            "transformer, not escaped: budget, the law",
            np.array(runs.budget),
            law[~finished].min(),
            0,
            "absolute",
            "<=",
        ),
        Comparison(
            "transformer, eps 1e-8: updates at any q, at q = 1",
            floors.reshape(-1, len(at_one)),
            at_one,
            0.5,
            "relative",
        ),
    )


def _common_factor() -> tuple[Comparison, ...]:
    runs = study_rows("common_factor")
    conflict = [row for row in runs if row["variant"] == "mixed"]
    tiny = [row for row in runs if row["variant"] != "mixed" and row["optimizer"] == "adamw"]
    sgd = [row for row in runs if row["optimizer"] == "sgd"]
    plain = study_rows("cold_start")

    def ends(rows: list[dict[str, Any]], low: float, high: float, *, relative: bool) -> np.ndarray:
        """p@1 at the end of the runs with low <= q <= high; without PAFT."""
        return np.array(
            [
                row["p_at_1"] or 0.0
                for row in rows
                if row["q"] is not None
                and low <= row["q"] <= high
                and bool(row.get("relative_weights")) == relative
                and not row["estimator"].startswith("paft")
            ]
        )

    def stuck(what: str, values: np.ndarray) -> Comparison:
        return Comparison(f"transformer, {what}: p@1, 0", values, np.array(0.0), STUCK, "absolute")

    def out(what: str, values: np.ndarray) -> Comparison:
        return Comparison(f"transformer, {what}: {OUT}, p@1", np.array(OUT), values.min(), 0, "absolute", "<=")

    return (
        stuck("SGD, all alike, q = 0", ends(plain, 0, 0, relative=False)),
        out("SGD, all alike, q = 0, common factor", ends(sgd, 0, 0, relative=True)),
        stuck("Adam, p0 1e-12, q = 0", ends(tiny, 0, 0, relative=False)),
        out("Adam, p0 1e-12, q = 0, common factor", ends(tiny, 0, 0, relative=True)),
        stuck("Adam, conflict, q = 0, common factor", ends(conflict, 0, 0, relative=True)),
        stuck("Adam, conflict, q = 0, eps 1e-30", ends(conflict, 0, 0, relative=False)),
        out("Adam, conflict, q >= .75, common factor", ends(conflict, 0.75, 1, relative=True)),
    )
