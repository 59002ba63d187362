"""A finished run again: its configuration, and where the weights of its end or of its best evaluation lie."""

from pathlib import Path
from typing import Any, Literal

from qtrain.checkpoint import checkpoint_folder
from qtrain.config import Config, read_config
from qtrain.engines import make_engine
from qtrain.errors import UserError
from qtrain.evaluate import Evaluation, evaluate
from qtrain.memory import ModelSize, cache_limit
from qtrain.model import token_ids
from qtrain.model_config import PretrainedConfig
from qtrain.policy import trained_policy
from qtrain.precision import autocast, use_float32_head
from qtrain.prepare import prepare
from qtrain.provenance import BASE, TOKENIZER, base_fingerprint, check_unchanged, fingerprints
from qtrain.run_folder import CONFIG, read_origin, read_result

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


def check_base(run: Path, config: Config, *, allow_changes: bool) -> None:
    """Refuse adapters on another base than the one that they were trained on.

    Args:
        run: The run folder.
        config: The run's; `model.pretrained` may name another place of the same base.
        allow_changes: Go on all the same.

    Raises:
        UserError: The base's weights have changed.
    """
    _, before = read_origin(run)
    if config.lora is not None and isinstance(config.model, PretrainedConfig) and not allow_changes:
        now = base_fingerprint(Path(config.model.pretrained), config.model.revision)
        check_unchanged(run, {key: before[key] for key in before if key == BASE}, {BASE: now})


def evaluate_run(run: Path, which: Which, config: Config, *, seed: int, allow_changes: bool = False) -> Evaluation:
    """Evaluate a run's weights, in the type that it trained in.

    Args:
        run: The run folder.
        which: Its weights.
        config: The run's, with whatever is to differ in `eval`, `rollout`, `task`, `model` or `data`. Held-out records
            are compared with the run's own unless `task` differs.
        seed: Seeds the sampling.
        allow_changes: Evaluate though records, tokenizer or base are not those that the run was made from.

    Raises:
        UserError: They are not; or something cannot be read.
    """
    check_base(run, config, allow_changes=allow_changes)
    config, task, _ = prepare(config)
    data_before, fingerprints_before = read_origin(run)
    if not allow_changes:
        changed_task = _without_paths(config) != _without_paths(finished_config(run))
        keys = (TOKENIZER,) if changed_task else (TOKENIZER, "held_out")
        wanted = {key: fingerprints_before[key] for key in keys if key in fingerprints_before}
        data = task.data_log()
        check_unchanged(run, wanted, fingerprints(data, task.tokenizer, base=""), data_before, data)
    model = trained_policy(config, task, weights_folder(run, which))
    if config.train.dtype == "bfloat16":
        use_float32_head(model)
    cache_bytes = cache_limit(model.device, ModelSize.of(model), config.rollout.cache_gib, adam=False)
    engine = make_engine(config.rollout, model, token_ids(task.tokenizer), cache_bytes=cache_bytes)
    with autocast(config.train.dtype, model.device):
        return evaluate(engine, task, config, seed=seed)


def _without_paths(config: Config) -> dict[str, Any]:
    return config.task.model_dump(exclude={"tokenizer"})
