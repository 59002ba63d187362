"""Time whole training steps of a configuration; report seconds, tokens, memory and the FLOPs that they need."""

import tempfile
from pathlib import Path
from typing import Any

import torch

from figures.bench.process import peak_bytes, serve
from figures.bench.utilisation import known_peak, measured_peak, step_flops
from qtrain.callbacks import StepFunction
from qtrain.config import ModelConfig, read_config
from qtrain.prepare import get_base
from qtrain.runs.folder import METRICS, read_jsonl
from qtrain.tasks import make_task
from qtrain.testbed.random_words import RandomWordsConfig
from qtrain.trainer import train


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Train for a few steps in a temporary run folder, then measure the device's own matrix product.

    The first step is reported separately: it warms up kernels, compiles, and checks the engine on the whole batch.

    Args:
        settings: `config` (a TOML file of the task random_words), `values` (overrides by key), `estimator`, `device`,
            `matrix` (size of the square matrices whose product measures the device's peak).

    Returns:
        For each step after the first: `seconds`, `tokens` (sampled), `trained_tokens`, `rows` (trained), `flops` (see
        `step_flops`). In all: `first_step_seconds`, `first_peak_bytes` (up to the first update), `peak_bytes`
        (after it), `peak_flops_measured` and `peak_flops_data_sheet` in FLOP/s, and on a GPU its name.
    """
    device = torch.device(settings["device"])
    values = {"estimator": settings["estimator"], "train.device": settings["device"], **settings["values"]}
    config = read_config(Path(settings["config"])).with_values(values)
    assert isinstance(config.task, RandomWordsConfig)
    assert isinstance(config.model, ModelConfig)
    task = make_task(config.task, config.data)
    first_peak = 0

    def after_step(step: int, _: dict[str, float]) -> None:
        nonlocal first_peak
        if step == 1:
            first_peak = peak_bytes(device)
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)

    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        train(config, task, get_base(config, task), run, callbacks=[StepFunction(after_step)])
        first, *steps = read_jsonl(run / METRICS)
    peak = peak_bytes(device)
    answer = config.task.answer_tokens
    sizes = {"prompts": config.rollout.prompts, "samples": config.rollout.samples, "prompt": config.task.prompt_tokens}
    result = {
        "first_step_seconds": first["seconds"],
        "seconds": [step["seconds"] for step in steps],
        "tokens": [step["tokens"] for step in steps],
        "trained_tokens": [step["rows"] * (step["rationale_tokens"] + 1 + answer) for step in steps],
        "rows": [step["rows"] for step in steps],
        "flops": [
            step_flops(
                config.model,
                config.task.vocabulary,
                **sizes,
                rationale=step["rationale_tokens"],
                answer=answer,
                rows=int(step["rows"]),
            )
            for step in steps
        ],
        "first_peak_bytes": first_peak,
        "peak_bytes": peak,
        "peak_flops_measured": measured_peak(settings["device"], size=settings["matrix"]),
        "peak_flops_data_sheet": None,
    }
    if device.type == "cuda":
        gpu = torch.cuda.get_device_name(device)
        result |= {"gpu": gpu, "peak_flops_data_sheet": known_peak(gpu), "base_bytes": 0}
    return result


if __name__ == "__main__":
    serve(measure)
