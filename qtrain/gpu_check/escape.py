"""Stage `escape`: the testbed's cold start in bfloat16, to its escape."""

from typing import Any

from qtrain.gpu_check.runs import TINY, compared, show
from qtrain.gpu_check.stage import Place, Stage

ESTIMATORS = ("garl:q=.75", "garl:q=1")


def run(place: Place) -> dict[str, Any]:
    """Train the estimators that escape there; what was finished before is kept."""
    full = {"train.dtype": "bfloat16", "train.checkpoint_every": 50}
    return {
        "runs": compared(place.config("cold_start", full, TINY | {"task.digits": 2}), ESTIMATORS, place.out / "escape")
    }


STAGE = Stage(
    "The testbed in bfloat16, to its escape",
    "The cold start of `qtrain/configs/cold_start.toml` with `train.dtype=bfloat16`, by GARL at q = .75 and q = 1, "
    "which escape there in float32 on a CPU ([results](results.md)). The escape step is the first whose batch has a "
    "mean P above .05.",
    run,
    show,
)
