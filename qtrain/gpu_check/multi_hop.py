"""Stage `multi_hop`: tens of millions of parameters, pre-trained from scratch, then trained from a cold start."""

from typing import Any

from qtrain.gpu_check.runs import TINY, compared, show
from qtrain.gpu_check.stage import Place, Stage

ESTIMATORS = ("grpo", "garl:q=.75", "paft:q=.75")

SMALL = {
    "task.symbols": 8,
    "task.facts": 4,
    "task.least_hops": 1,
    "task.hops": 2,
    "task.stride": 1,
    "model.layers": 2,
    "model.max_positions": 64,
}


def run(place: Place) -> dict[str, Any]:
    """Pre-train and train; what was finished before is kept."""
    config = place.config("multi_hop_gpu", {}, TINY | SMALL)
    return {"runs": compared(config, ESTIMATORS, place.out / "multi_hop")}


STAGE = Stage(
    "Multi-hop questions from a cold start",
    "A model of about 34 million parameters (`qtrain/configs/multi_hop_gpu.toml`), pre-trained from scratch on chains "
    "of 1 to 9 hops through 24 shuffled facts, then trained by GRPO, GARL and PAFT under Adam, with easy and hard "
    "prompts in conflict. The hard ones want a format that the base gives with a probability of about 1e-7.",
    run,
    show,
)
