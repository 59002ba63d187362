"""Time an update (gradient, its norm, Adam's step) by this project or by a plain padded pass over whole rows."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from figures.bench.gradient import compare_gradient, save_gradient
from figures.bench.process import Clock, serve
from figures.bench.profile import profiled
from figures.bench.workload import IDS, Shape, Work, make_model, make_work
from qtrain.config import OptimizerConfig, TrainConfig
from qtrain.forward.head import TILE
from qtrain.policy.device import Dtype, autocast, use_float32_head
from qtrain.update import backward, gradient_norm, make_optimizer


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Time updates; see `figures.bench.suites.update` for the settings."""
    device, shape = torch.device(settings["device"]), Shape.of(settings["shape"])
    dtype: Dtype = settings["dtype"]
    model = make_model(shape, device)
    if dtype == "bfloat16" and settings["contender"] == "qtrain":
        use_float32_head(model)  # as the trainer does
    optimizer = make_optimizer(OptimizerConfig(name="adamw", lr=1e-6), model)
    for group in optimizer.param_groups:
        group["lr"] = 0.0  # the same work at unchanged weights
    warm_up = make_work(replace(shape, prompt=8, completion=shape.answer + 8))
    work = make_work(shape, settings["estimator"], settings["spread"])
    rows = 0

    def update(work: Work) -> None:
        nonlocal rows
        if settings["contender"] == "qtrain":
            rows = backward(
                model,
                IDS,
                work.rollouts,
                work.coefficients_BM,
                on_sampled_answers=False,
                micro_batch_tokens=TrainConfig().micro_batch_tokens,
                dtype=dtype,
            ).rows
        else:
            rows = plain_backward(model, work, settings["rows"], dtype)
        gradient_norm(model)
        optimizer.step()

    update(warm_up)
    clock = Clock(device)
    for _ in range(settings["updates"]):
        clock.start()
        update(work)
        clock.stop()
    result = {**clock.result(), "rows": rows, "parameters": sum(parameter.numel() for parameter in model.parameters())}
    if settings["profile"]:
        tile = TILE if settings["contender"] == "qtrain" else None
        result["profile"] = profiled(lambda: update(work), shape.model.vocabulary, tile)
    if settings["gradient"] is None:
        return result
    if settings["contender"] == "qtrain":
        save_gradient(model, Path(settings["gradient"]))
        return result
    return result | compare_gradient(model, Path(settings["gradient"]))


def plain_backward(model: PreTrainedModel, work: Work, rows: int, dtype: Dtype) -> int:
    """Compute the gradient as most scripts do: prompt and completion of every sample in full, `rows` at a time.

    Logits are computed for the completion alone (`logits_to_keep`).

    Returns:
        The number of samples that were run.
    """
    tokens_MT, coefficient_MR = work.tokens_MT.to(model.device), work.coefficient_MR.to(model.device)
    samples, completion = coefficient_MR.shape
    for parameter in model.parameters():
        parameter.grad = None
    for first in range(0, samples, rows):
        tokens_NT = tokens_MT[first : first + rows]
        with autocast(dtype, model.device):
            logits_NRV = model(input_ids=tokens_NT, use_cache=False, logits_to_keep=completion + 1).logits[:, :-1]
        loss_NR = cross_entropy(
            logits_NRV.flatten(0, 1).float(), tokens_NT[:, -completion:].flatten(), reduction="none"
        )
        ((loss_NR * coefficient_MR[first : first + rows].flatten()).sum() / samples).backward()
    return samples


if __name__ == "__main__":
    serve(measure)
