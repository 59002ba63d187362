"""Stage `throughput`: full GARL and PAFT steps of a random model in the shape of Qwen3-0.6B: speed and memory."""

import tempfile
from pathlib import Path
from typing import Any

import torch

from qtrain.callbacks import StepFunction
from qtrain.config import Config, ModelConfig
from qtrain.flops import known_peak, measured_peak, step_flops
from qtrain.gpu_check.stage import Place, Stage
from qtrain.gpu_check.table import table
from qtrain.prepare import get_base
from qtrain.progress import Board, Report
from qtrain.runs.folder import METRICS, read_json, read_jsonl, write_json
from qtrain.tasks import make_task
from qtrain.testbed.random_words import RandomWordsConfig
from qtrain.train import train

ESTIMATORS = ("garl:q=.75", "paft:q=.75")

MATRIX = {"full": 8192, "tiny": 64}
"""Size of the matrices whose product measures what the device can do."""

TINY = {
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


def run(place: Place) -> dict[str, Any]:
    """Time each estimator that has no record yet, then the device's own matrix product."""
    config = place.config("qwen3_random", {}, TINY)
    folder = place.out / "throughput"
    folder.mkdir(parents=True, exist_ok=True)
    records = []
    for word in ESTIMATORS:
        path = folder / f"{word.replace(':', '-').replace('=', '')}.json"
        if not path.exists():
            write_json(path, _timed(config.with_values({"estimator": word}), place, folder))
        records.append(read_json(path, "a record of the throughput stage"))
    measured = measured_peak(place.device, size=MATRIX[place.size])
    known = known_peak(torch.cuda.get_device_name()) if place.device == "cuda" else None
    return {
        "matrix_size": MATRIX[place.size],
        "peak_measured": measured,
        "peak_data_sheet": known,
        "runs": [
            {
                **one,
                **{
                    f"utilisation_{name}": _share(one, peak)
                    for name, peak in (("measured", measured), ("data_sheet", known))
                },
            }
            for one in records
        ],
    }


def _share(record: dict[str, Any], peak: float | None) -> float | None:
    """Model FLOP utilisation: what the timed steps needed over what the device could have done meanwhile."""
    if peak is None or record["out_of_memory"]:
        return None
    return sum(record["flops"]) / (sum(record["seconds"]) * peak)


def _timed(config: Config, place: Place, folder: Path) -> dict[str, Any]:
    """Train for a few steps in a folder that goes afterwards: the weights of a random model are nothing to keep.

    Returns:
        Of each step: seconds, tokens (sampled), rows (trained), flops (see `step_flops`). `tokens_per_second` and
        `trained_tokens_per_second` over all steps but the first, which meets cold kernels and checks the engine on the
        whole batch; so are the utilisations. `first_peak_gib` and `peak_gib`: the most memory that tensors held up to
        the first update and after it.
    """
    task = make_task(config.task, config.data)
    assert isinstance(config.task, RandomWordsConfig)
    assert isinstance(config.model, ModelConfig)
    record: dict[str, Any] = {"estimator": str(config.estimator), "out_of_memory": False}
    record |= {"first_peak_gib": None, "peak_gib": None}
    if place.device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    with Board(config.name, total=1) as board, tempfile.TemporaryDirectory(dir=folder, prefix=".run-") as run_folder:

        def watch(step: int, _: dict[str, float]) -> None:
            if step == 1 and place.device == "cuda":
                record["first_peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
                torch.cuda.reset_peak_memory_stats()
            board.show(Report(str(config.estimator), step, config.train.steps, ""))

        try:
            train(config, task, get_base(config, task), Path(run_folder) / "run", callbacks=[StepFunction(watch)])
        except torch.OutOfMemoryError:
            record["out_of_memory"] = True
        log = Path(run_folder) / "run" / METRICS
        steps = read_jsonl(log) if log.exists() else []
        board.show(Report(str(config.estimator), config.train.steps, config.train.steps, "timed", done=True))
    if place.device == "cuda":
        record["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
    answer = config.task.answer_tokens
    sizes = {"prompts": config.rollout.prompts, "samples": config.rollout.samples, "prompt": config.task.prompt_tokens}
    warm = steps[1:]
    seconds = sum(one["seconds"] for one in warm)
    trained = sum(one["rows"] * (one["rationale_tokens"] + 1 + answer) for one in warm)
    return record | {
        "first_step_seconds": steps[0]["seconds"] if steps else None,
        "seconds": [one["seconds"] for one in warm],
        "tokens": [one["tokens"] for one in warm],
        "rows": [one["rows"] for one in warm],
        "flops": [
            step_flops(
                config.model,
                config.task.vocabulary,
                **sizes,
                rationale=one["rationale_tokens"],
                answer=answer,
                rows=int(one["rows"]),
            )
            for one in warm
        ],
        "tokens_per_second": sum(one["tokens"] for one in warm) / seconds if warm else None,
        "trained_tokens_per_second": trained / seconds if warm else None,
    }


def show(result: dict[str, Any]) -> list[str]:
    """One row an estimator, and both peaks."""
    headings = [
        "estimator",
        "s a step",
        "first step, s",
        "rows trained",
        "sampled tokens/s",
        "trained tokens/s",
        "peak memory, GiB",
        "that of the first step, GiB",
        "utilisation, measured peak",
        "utilisation, data sheet's peak",
    ]
    rows = []
    for one in result["runs"]:
        count = len(one["seconds"])
        rows.append(
            [
                one["estimator"] + (" (out of memory)" if one["out_of_memory"] else ""),
                sum(one["seconds"]) / count if count else None,
                one["first_step_seconds"],
                sum(one["rows"]) / count if count else None,
                one["tokens_per_second"],
                one["trained_tokens_per_second"],
                one["peak_gib"],
                one["first_peak_gib"],
                one["utilisation_measured"],
                one["utilisation_data_sheet"],
            ]
        )
    size, known = result["matrix_size"], result["peak_data_sheet"]
    peaks = f"A product of two {size} x {size} bfloat16 matrices ran at {result['peak_measured'] / 1e12:.3g} TFLOP/s; "
    peaks += (
        f"the data sheet says {known / 1e12:.3g}." if known else "the table of data sheets does not have this device."
    )
    return [*table(headings, rows), "", peaks]


STAGE = Stage(
    "Steps of Qwen3-0.6B's shape",
    "Five full GARL and PAFT steps of a random model of 28 layers, width 1,024, 16 heads, 8 key-value heads and a tied "
    "vocabulary of 151,936 (`qtrain/configs/qwen3_random.toml`): M = 32, prompts of 1,500 tokens, rationales of 1,000, "
    "answers of 16. Means are over the steps after the first. Utilisation is the FLOPs that a step needs over what the "
    "device could have done in its seconds; `qtrain/flops.py` has the formula. What an implementation does "
    "beyond that, as running a prompt once a row, lowers it.",
    run,
    show,
)
