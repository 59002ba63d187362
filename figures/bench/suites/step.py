"""Suite `step`: whole GARL and PAFT training steps at the shape of Qwen3-0.6B, with their share of the GPU's peak."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import figures
from figures.bench.case import Case, Options, Result, program
from figures.bench.run import Results

CONFIG = Path(figures.__file__).parent / "configs" / "qwen3_random.toml"
ESTIMATORS = ("garl:q=.75", "paft:q=.75")
MATRIX = {"full": 8192, "quick": 64}

TOY = {
    "task.vocabulary": 100,
    "task.prompt_tokens": 12,
    "task.answer_tokens": 4,
    "model.hidden_size": 16,
    "model.intermediate_size": 24,
    "model.layers": 2,
    "model.heads": 2,
    "model.key_value_heads": 1,
    "model.head_dim": 8,
    "model.max_positions": 64,
    "rollout.samples": 4,
    "rollout.rationale_budget": 8,
    "rollout.answer_budget": 4,
    "train.steps": 3,
    "eval.every": 3,
}


def cases(options: Options, _: Path) -> list[Case]:
    """One process per estimator."""
    return [
        Case(
            "step",
            estimator,
            program("step"),
            {
                "config": str(CONFIG),
                "values": TOY if options.quick else {},
                "estimator": estimator,
                "device": options.device,
                "threads": options.threads,
                "matrix": MATRIX["quick" if options.quick else "full"],
            },
            rounds=1,
        )
        for estimator in ESTIMATORS
    ]


def rows(cases: Iterable[Case], results: Results) -> list[dict[str, Any]]:
    """A row per estimator: means over the steps after the first."""
    return [_row(case.name, results[case.contest][case.name][-1]) for case in cases]


def _row(estimator: str, result: Result) -> dict[str, Any]:
    if "failed" in result:
        return {"name": estimator, "failed": result["failed"]}
    count, seconds, flops = len(result["seconds"]), sum(result["seconds"]), sum(result["flops"])
    peaks = {"measured": result["peak_flops_measured"], "data_sheet": result["peak_flops_data_sheet"]}
    return {
        "name": estimator,
        "failed": None,
        "steps": count,
        "seconds": seconds / count,
        "first_step_seconds": result["first_step_seconds"],
        "rows": sum(result["rows"]) / count,
        "tokens_per_second": sum(result["tokens"]) / seconds,
        "trained_tokens_per_second": sum(result["trained_tokens"]) / seconds,
        "bytes": result["peak_bytes"] - result["base_bytes"],
        "first_bytes": result["first_peak_bytes"] - result["base_bytes"],
        **{f"peak_flops_{name}": peak for name, peak in peaks.items()},
        **{f"utilisation_{name}": peak and flops / (seconds * peak) for name, peak in peaks.items()},
    }
