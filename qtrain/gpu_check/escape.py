"""Stage `escape`: the testbed's cold start in bfloat16, to its escape."""

from typing import Any

from qtrain.gpu_check.runs import compared
from qtrain.gpu_check.stage import Place, Stage
from qtrain.gpu_check.table import curves, table

ESTIMATORS = ("garl:q=.75", "garl:q=1")

TINY = {
    "task.digits": 2,
    "model.hidden_size": 16,
    "model.intermediate_size": 24,
    "model.heads": 2,
    "model.key_value_heads": 1,
    "model.head_dim": 8,
    "pretrain.steps": 4,
    "pretrain.batch": 8,
    "pretrain.p0": 1e-4,
    "rollout.prompts": 4,
    "rollout.samples": 4,
    "rollout.rationale_budget": 3,
    "train.steps": 2,
    "train.checkpoint_every": 1,
    "eval.every": 1,
    "eval.prompts": 4,
    "eval.samples": 4,
}


def run(place: Place) -> dict[str, Any]:
    """Train the estimators that escape there; what was finished before is kept."""
    full = {"train.dtype": "bfloat16", "train.checkpoint_every": 50}
    return {"runs": compared(place.config("cold_start", full, TINY), ESTIMATORS, place.out / "escape")}


def show(result: dict[str, Any]) -> list[str]:
    """Escape steps and final scores, and p@1 on the way."""
    names = ("estimator", "p0", "escape_step", "p_at_1", "mean_log_p", "seconds", "tokens_per_second")
    headings = ["estimator", "p0", "escape step", "p@1", "mean log P", "seconds", "tokens/s"]
    rows = [[one[name] for name in names] for one in result["runs"]]
    return [
        *table(headings, rows),
        "",
        "p@1 on held-out prompts against the step:",
        "",
        *curves(result["runs"], "p_at_1"),
    ]


STAGE = Stage(
    "The testbed in bfloat16, to its escape",
    "The cold start of `qtrain/configs/cold_start.toml` with `train.dtype=bfloat16`, by GARL at q = .75 and q = 1, "
    "which escape there in float32 on a CPU ([results](results.md)). The escape step is the first whose batch has a "
    "mean P above .05.",
    run,
    show,
)
