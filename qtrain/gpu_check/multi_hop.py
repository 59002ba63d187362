"""Stage `multi_hop`: tens of millions of parameters, pre-trained from scratch, then trained from a cold start."""

from typing import Any

from qtrain.gpu_check.runs import compared
from qtrain.gpu_check.stage import Place, Stage
from qtrain.gpu_check.table import curves, table

ESTIMATORS = ("grpo", "garl:q=.75", "paft:q=.75")

TINY = {
    "task.symbols": 8,
    "task.facts": 4,
    "task.least_hops": 1,
    "task.hops": 2,
    "task.stride": 1,
    "model.hidden_size": 16,
    "model.intermediate_size": 24,
    "model.layers": 2,
    "model.heads": 2,
    "model.key_value_heads": 1,
    "model.head_dim": 8,
    "model.max_positions": 64,
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
    """Pre-train and train; what was finished before is kept."""
    config = place.config("multi_hop_gpu", {}, TINY)
    return {"runs": compared(config, ESTIMATORS, place.out / "multi_hop")}


def show(result: dict[str, Any]) -> list[str]:
    """Escape steps and final scores, and p@1 on the way, of the hard half and of the easy one."""
    names = ("estimator", "p0", "escape_step", "p_at_1", "p_at_1_easy", "mean_log_p", "seconds", "tokens_per_second")
    headings = ["estimator", "p0", "escape step", "p@1", "p@1, easy half", "mean log P", "seconds", "tokens/s"]
    runs = result["runs"]
    lines = table(headings, [[one[name] for name in names] for one in runs])
    return [*lines, "", "p@1 on held-out hard prompts against the step:", "", *curves(runs, "p_at_1")]


STAGE = Stage(
    "Multi-hop questions from a cold start",
    "A model of about 34 million parameters (`qtrain/configs/multi_hop_gpu.toml`), pre-trained from scratch on chains "
    "of 1 to 9 hops through 24 shuffled facts, then trained by GRPO, GARL and PAFT under Adam, with easy and hard "
    "prompts in conflict. The hard ones want a format that the base gives with a probability of about 1e-7.",
    run,
    show,
)
