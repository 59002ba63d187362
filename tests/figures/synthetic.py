"""Data files in the studies' format with known laws behind them, so that fits can be held against the truth."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from scipy.integrate import quad

TABLE_1 = (
    ("grpo", None),
    ("rb_rloo", 0.0),
    ("garl:q=0.25", 0.25),
    ("garl:q=0.5", 0.5),
    ("garl:q=0.75", 0.75),
    ("garl:q=1", 1.0),
)
PAFT = ("paft:q=0.75", 0.75)
SEEDS = (0, 1, 2)
P0 = 6e-7

ESCAPE_GRIDS = {
    "rb_rloo": (1e-2, 5e-3, 2e-3, 1e-3, 5e-4),
    "garl:q=0.25": (1e-2, 3e-3, 1e-3, 3e-4, 1e-4),
    "garl:q=0.5": (3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5),
    "garl:q=0.75": (1e-3, 1e-4, 1e-5, 1e-6, 1e-7),
    "garl:q=1": (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9),
}
ESCAPE_LR = 1e-3


def norm_sq(log_p: float, seed: int) -> float:
    """The ||s||^2 that the escapes below obey: it falls as P grows, at a level of its own for each base."""
    return (1 + 0.2 * seed) * 400 * math.exp(-0.05 * log_p)


def escape_updates(p0: float, q: float, seed: int) -> float:
    """Updates of gradient flow from p0 to .05 under `norm_sq`."""
    value, _ = quad(lambda at: math.exp(-(1 - q) * at) / norm_sq(at, seed), math.log(p0), math.log(0.05))
    return value / ESCAPE_LR


def row(estimator: str, q: float | None, seed: int, **changes: Any) -> dict[str, Any]:
    """One run; `changes` replace what it says."""
    return {
        "estimator": estimator,
        "q": q,
        "seed": seed,
        "p0": P0 * (1 + 0.1 * seed),
        "steps": 300,
        "escape_step": None,
        "p_at_1": 0.0,
        "p_at_16": 0.0,
        "maj_at_16": 0.0,
        "mean_log_p": -14.0,
        "p": P0,
        "diverged_step": None,
        "seconds": 30.0,
        "optimizer": "sgd",
        "lr": 1e-3,
        "p0_wanted": P0,
        "variant": "cold",
        "prompts": 16,
        "samples": 16,
        "curve": {"step": [0, 300], "p_at_1": [0.0, 0.0], "p": [P0, P0], "mean_log_p": [-14.0, -14.0]},
        **changes,
    }


def success_row(estimator: str, q: float | None, seed: int, end: float, *, every: int, steps: int) -> dict[str, Any]:
    """A run whose p@1 climbs along a sigmoid in log step to `end`."""
    at = list(range(0, steps + 1, every))
    climb = [end / (1 + (0.4 * steps / max(step, 1e-9)) ** 3) * (1 + 0.4**3) for step in at]
    curve = {"step": at, "p_at_1": climb, "p": climb, "mean_log_p": [math.log(max(p, P0)) for p in climb]}
    scores = {"p_at_1": end, "p_at_16": min(1.0, 2 * end), "maj_at_16": end, "mean_log_p": math.log(max(end, P0))}
    escape = steps // 4 if end > 0.05 else None
    return row(estimator, q, seed, steps=steps, escape_step=escape, curve=curve, **scores)


def studies(seeds: tuple[int, ...] = SEEDS) -> dict[str, dict[str, Any]]:
    """The data files by name."""
    ends = {None: 0.0, 0.0: 0.0, 0.25: 0.0, 0.5: 0.004, 0.75: 0.52, 1.0: 0.66}
    cold = [
        success_row(name, q, seed, ends[q] * (1 - 0.2 * seed), every=10, steps=300)
        for name, q in TABLE_1
        for seed in seeds
    ]
    conflict = [
        success_row(name, q, seed, 0.0 if q in (None, 0.0) else 0.9 - 0.1 * seed, every=5, steps=150)
        | {"optimizer": "adamw", "lr": 3e-4, "p0": 3e-5, "p_at_1_easy": 0.9, "variant": "mixed"}
        for name, q in (*TABLE_1, PAFT)
        for seed in seeds
    ]
    alike = [
        success_row(name, q, seed, 0.2 if q is None else 0.95 - 0.02 * seed, every=5, steps=150)
        | {"optimizer": "adamw", "lr": 3e-4, "p0": 3e-5}
        for name, q in TABLE_1
        for seed in seeds
    ]
    return {
        name: {"study": name, "about": "Synthetic.", "provenance": provenance(name), "rows": rows}
        for name, rows in {
            "cold_start": cold,
            "adam_conflict": conflict,
            "adam_alike": alike,
            "learning_rates": _scan(),
            "best_learning_rates": _best(seeds),
            "escape_exponents": _escapes(seeds),
            "adam_epsilon": _adam_epsilon(seeds),
            "common_factor": _common_factor(seeds),
            "baseline": _baseline(seeds),
            "max_coefficient": _max_coefficient(),
            "warm_paft": _warm_paft(seeds),
        }.items()
    }


def provenance(name: str) -> dict[str, Any]:
    return {
        "command": f"qtrain study {name}",
        "commit": "0123456789ab",
        "python": "3.11.0",
        "libraries": {"qcontinuum": "0.1.0", "torch": "2.0"},
        "machine": "x86_64, 2 cores",
        "threads": "1",
    }


MAX_C_RISE = 100
"""The step at which the largest coefficient of q = .75 begins to rise."""


def _max_coefficient() -> list[dict[str, Any]]:
    """Largest coefficients that stay at P^(1-q), but for q = .75, which jumps at a step."""
    rows = []
    for name, q in TABLE_1[1:]:
        step = list(range(1, 301))
        low = P0 ** (1 - (q or 0.0)) / 10
        rise = 0.4 if q == 0.75 else low
        largest = [rise if at >= MAX_C_RISE else low for at in step]
        series = {"step": step, "max_c": largest, "log_p": [math.log(P0)] * 300}
        rows.append(row(name, q, 0, series=series, escape_step=112 if q == 0.75 else None))
    return rows


WARM_FALL = 0.4
"""How far GARL falls and comes back, at step 100."""


def _warm_paft(seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    rows = []
    for q in (0.25, 1.0):
        for name in ("garl", "paft"):
            for seed in seeds:
                step = list(range(0, 301, 50))
                success = [0.1, 0.8, 0.9 - WARM_FALL * (name == "garl"), 0.8, 0.85, 0.88, 0.9]
                curve = {"step": step, "p_at_1": success, "maj_at_16": success, "p": success, "mean_log_p": success}
                rows.append(row(f"{name}:q={q:g}", q, seed, curve=curve, p0=0.1, lr=3e-3, optimizer="adamw"))
    return rows


def _scan() -> list[dict[str, Any]]:
    rows = []
    for (name, q), lowest in zip(TABLE_1, (-3.0, 0.0, -1.0, -2.0, -3.0, -4.0), strict=True):
        for half in range(7):
            end = 0.0 if q is None else max(0.0, (0.3 + 0.6 * q) * (1 - ((half - 3) / 4) ** 2))
            gone = half == 6
            rows.append(
                success_row(name, q, 0, end, every=10, steps=300)
                | {"lr": float(f"{10 ** (lowest + half / 2):.3g}")}
                | ({"p_at_1": None, "p_at_16": None, "maj_at_16": None, "mean_log_p": None} if gone else {})
                | ({"diverged_step": 40, "steps": 40} if gone else {})
            )
    return rows


def _best(seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    return [
        success_row(name, q, seed, 0.0 if q is None else 0.3 + 0.5 * q - 0.05 * seed, every=10, steps=300)
        | {"lr": float(f"{10 ** (lowest + 1.5):.3g}")}
        for (name, q), lowest in zip(TABLE_1, (-3.0, 0.0, -1.0, -2.0, -3.0, -4.0), strict=True)
        for seed in seeds
    ]


def _escapes(seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    rows = []
    for seed in seeds:
        for p0 in sorted({p0 for grid in ESCAPE_GRIDS.values() for p0 in grid}):
            at = np.arange(math.log(p0), math.log(0.05), 0.5)
            measured = {
                "log_p": at.tolist(),
                "norm_sq": [norm_sq(one, seed) * float(1 + 0.03 * rng.standard_normal()) for one in at],
            }
            slow = {"lr": ESCAPE_LR / 10, "score_norm": measured, "escape_step": 900}
            rows.append(row("garl:q=1", 1.0, seed, p0=p0, p0_wanted=p0, **slow))
        for name, q in TABLE_1[1:]:
            for p0 in ESCAPE_GRIDS[name]:
                steps = math.ceil(escape_updates(p0, q, seed)) + 1
                rows.append(
                    row(name, q, seed, p0=p0, p0_wanted=p0, lr=ESCAPE_LR, steps=min(steps, 1500))
                    | {"escape_step": steps if steps <= 1500 else None}
                )
    return rows


ADAM_LR, ADAM_FLOOR, ADAM_BUDGET = 3e-4, 8, 600


def _adam_epsilon(seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    """The law to the update: (eps/lr) times the flow's time, and ADAM_FLOOR updates more."""
    rows = []
    for seed in seeds:
        for p0 in (1e-3, 1e-5):
            for eps in (1e-8, 3e-4, 3e-2, 3e-1):
                for name, q in TABLE_1[1:]:
                    flow = escape_updates(p0, q or 0.0, seed) * ESCAPE_LR
                    steps = round(eps / ADAM_LR * flow) + ADAM_FLOOR + 1
                    rows.append(
                        row(name, q, seed, p0=p0, p0_wanted=p0, lr=ADAM_LR, eps=eps, optimizer="adamw")
                        | {"steps": min(steps, ADAM_BUDGET), "escape_step": steps if steps <= ADAM_BUDGET else None}
                    )
    return rows


def _common_factor(seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    """RB-RLOO escapes with a common factor unless easy prompts set the scale."""
    adam = {"optimizer": "adamw", "lr": ADAM_LR}
    cases = [
        ({"relative_weights": True}, 0.5, -1.0),
        (adam | {"p0_wanted": 1e-12, "eps": 1e-8}, 0.97, 0.0),
        (adam | {"p0_wanted": 1e-12, "eps": 1e-8, "relative_weights": True}, 0.97, -1.0),
        (adam | {"variant": "mixed", "eps": 1e-8, "relative_weights": True}, 0.95, 0.25),
        (adam | {"variant": "mixed", "eps": 1e-30}, 0.0, 1.0),
    ]
    return [
        success_row(name, q, seed, end * ((q or 0.0) > above), every=50, steps=300) | changes
        for seed in seeds
        for changes, end, above in cases
        for name, q in TABLE_1[1:]
        if changes.get("eps") != 1e-30 or (q or 0) < 0.5
    ]


def _baseline(seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    """Warm runs of which the one with the leave-one-out baseline dips; its variance grows as P comes near 1."""
    p = [0.1, 0.5, 0.9, 0.99, 0.999]
    gain = {
        "step": [1, 26, 51, 76, 101],
        "p": p,
        "best_multiplier": [(1 - x) / x for x in p],
        "variance_none": [1 - x for x in p],
        "variance_loo": [0.5 * (1 - x) * (1 + (x / (1 - x)) ** 2 / 10) for x in p],
        "variance_weighted": [0.4 * (1 - x) for x in p],
    }
    rows = []
    for seed in seeds:
        for lr in (1e-3, 3e-3):
            for q in (0.25, 1.0):
                for name in (f"garl:q={q:g}", f"garl:baseline=none,q={q:g}", f"garl_weighted:q={q:g}"):
                    one = success_row(name, q, seed, 0.95 - 0.01 * seed, every=20, steps=400)
                    dips = name.startswith("garl:q")
                    if dips:
                        one["curve"]["p_at_1"][-3] = 0.3
                    rows.append(
                        one
                        | {"optimizer": "adamw", "lr": lr, "variant": "warm", "p0": 0.1, "p0_wanted": None}
                        | ({"baseline_gain": gain} if dips else {})
                    )
    return rows


EXACT = {
    "exact_accuracy": {
        "quick": False,
        "rows": [
            {"form": "plugin", "cells": 7, "mean": 1e-15, "bias": 2e-14, "variance": 3e-13, "second_moment": 4e-15},
        ],
    },
    "exact_speed": {
        "rows": [{"what": "mean", "cells_per_second": 54321.0, "equal_seconds": [2.5, 2e18], "ratio": [1e5, 1e23]}],
        "repeats": 5,
        "machine": {"processor": "x86_64", "cores used": "1"},
    },
}
"""What `python -m figures accuracy` and `python -m figures speed` write."""


_MADE = {
    "command": "python tests/qtrain/x.py",
    "commit": "0123456789ab",
    "python": "3.11.7",
    "libraries": {"torch": "2.13.0"},
    "machine": "x86_64, 2 cores",
}
RELIABILITY = {
    "reliability": {
        "kills": {
            "provenance": _MADE, "kills": 9, "identical": 8, "places": {"here": 5, "there": 4}, "operations": 60,
            "identical_after_operations": 59,
        },
        "malformed": {
            "provenance": _MADE,
            "rows": [
                {"kind": "one", "cases": 5, "one_line": 4, "tracebacks": 1, "left_something": 0, "executed": 0},
                {"kind": "two", "cases": 6, "one_line": 6, "tracebacks": 0, "left_something": 2, "executed": 3},
            ],
        },
        "soak": {"provenance": _MADE, "steps": 40, "slope": -0.125, "step": [1, 20, 40], "mib": [7.0, 8.5, 8.4]},
    }
}  # fmt: skip
"""What the harnesses in tests/qtrain write."""

REPORT_SPEED = {
    "report_speed": {
        "runs": 2, "steps": 7, "metrics": 3, "megabytes": 1.5, "written": 0.5, "first_load": 2.0, "load": 1.0,
        "toggle": 0.25, "repeats": 5, "machine": {"machine": "x86_64, 2 cores"},
    }
}  # fmt: skip
"""What `tests/qtrain/report_speed.py` writes."""


def write_studies(folder: Path, data: dict[str, dict[str, Any]] | None = None) -> Path:
    """Write the data files and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, study in {**(data or studies()), **EXACT, **RELIABILITY, **REPORT_SPEED}.items():
        (folder / f"{name}.json").write_text(json.dumps(study), encoding="utf-8")
    return folder
