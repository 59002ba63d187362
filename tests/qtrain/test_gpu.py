"""On a GPU (`make test-gpu`): compiled flex attention, both passes, fused optimizers and bfloat16, against the CPU."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from test_forward import IDS, batch, tiny
from transformers import PreTrainedModel

from qtheory.estimators import Coefficients
from qtrain.config.tables import OptimizerConfig
from qtrain.forward import attention
from qtrain.policy.device import Dtype
from qtrain.update import backward, make_optimizer

pytestmark = pytest.mark.gpu


def gradients(model: torch.nn.Module) -> torch.Tensor:
    """All gradients in one vector on the CPU."""
    return torch.cat([parameter.grad.flatten().cpu() for parameter in model.parameters() if parameter.grad is not None])


@pytest.mark.parametrize("micro_batch_tokens", [None, 40])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_update_on_the_gpu_is_that_of_the_cpu(micro_batch_tokens: int | None, dtype: Dtype) -> None:
    rng = np.random.default_rng(0)
    rollouts, model = batch(rng, [9, 1, 30], [[4, 0, 7], [3, 3, 3], [12, 5, 20]], [2, 1, 3]), tiny()
    on_gpu = deepcopy(model)
    on_gpu.cuda()  # pyright: ignore[reportCallIssue] - transformers wraps it
    assert attention.kernel(on_gpu.device) == "flex"
    weights = torch.from_numpy(rng.normal(size=(3, 3)))
    runs: list[tuple[PreTrainedModel, Dtype]] = [(model, "float32"), (on_gpu, dtype)]
    for each, precision in runs:
        backward(
            each, IDS, rollouts, Coefficients(weights, weights), on_sampled_answers=False,
            micro_batch_tokens=micro_batch_tokens, dtype=precision,
        )  # fmt: skip
    error = float((gradients(on_gpu) - gradients(model)).norm() / gradients(model).norm())
    # TF32 is off by default; bfloat16 rounds the layers' states to three digits.
    assert error < (1e-4 if dtype == "float32" else 0.1)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_fused_optimizers_take_the_steps_of_the_cpu(name: str) -> None:
    model = tiny()
    on_gpu = deepcopy(model)
    on_gpu.cuda()  # pyright: ignore[reportCallIssue] - transformers wraps it
    for each in (model, on_gpu):
        optimizer = make_optimizer(OptimizerConfig.model_validate({"name": name, "lr": 1e-2}), each)
        generator = torch.Generator().manual_seed(0)
        for _ in range(3):
            for parameter in each.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=generator).to(parameter.device)
            optimizer.step()
    for ours, theirs in zip(on_gpu.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-5, atol=1e-6)
