"""A finished run again: its configuration, and where the weights of its end or of its best evaluation lie."""

from pathlib import Path
from typing import Literal

from qtrain.checkpoint import checkpoint_folder
from qtrain.config import Config, read_config
from qtrain.engines import make_engine
from qtrain.errors import UserError
from qtrain.evaluate import Evaluation, evaluate
from qtrain.model import token_ids
from qtrain.policy import trained_policy
from qtrain.precision import autocast, use_float32_head
from qtrain.run_folder import CONFIG, read_result
from qtrain.tasks import make_task

Which = Literal["last", "best"]
"""The weights at the end of training, or those of the best evaluation by maj@k."""


def finished_config(run: Path) -> Config:
    """The configuration of a finished run.

    Raises:
        UserError: The folder holds none.
    """
    read_result(run)
    return read_config(run / CONFIG)


def weights_folder(run: Path, which: Which) -> Path:
    """Where `model.safetensors` of a finished run lies.

    Raises:
        UserError: The best evaluation's weights were not kept.
    """
    result = read_result(run)
    best = result.get("best_step")
    if which == "last" or best == result["steps"]:
        return run
    folder = checkpoint_folder(run, best or 0)
    if best is None or not folder.is_dir():
        raise UserError(f"{run}: the weights of its best evaluation were not kept; train with train.checkpoint_every")
    return folder


def evaluate_run(run: Path, which: Which, config: Config, *, seed: int) -> Evaluation:
    """Evaluate a run's weights, in the type that it trained in.

    Args:
        run: The run folder.
        which: Its weights.
        config: The run's, with whatever is to differ in `eval`, `rollout`, `task` or `data`.
        seed: Seeds the sampling.
    """
    task = make_task(config.task, config.data)
    model = trained_policy(config, task, weights_folder(run, which))
    if config.train.dtype == "bfloat16":
        use_float32_head(model)
    engine = make_engine(config.rollout, model, token_ids(task.tokenizer))
    with autocast(config.train.dtype, model.device):
        return evaluate(engine, task, config, seed=seed)
