"""The policy: a base on its device with its adapters, a run's trained weights, and exported model folders."""

import shutil
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging

from qtrain.config import Config
from qtrain.device import find_device
from qtrain.disk import give_usual_mode, writing
from qtrain.errors import UserError
from qtrain.model import empty_model, load_pretrained, new_model
from qtrain.model_config import LoraConfig, ModelConfig, PretrainedConfig
from qtrain.pretrain import Base, get_base
from qtrain.run_folder import MODEL_FILES
from qtrain.tasks import Task, make_task
from qtrain.tasks.tokenizer import load_tokenizer
from qtrain.weights import load_weights, plain_weights, trained_weights


def start_policy(config: Config, task: Task, base: Base) -> PreTrainedModel:
    """The policy at the start of training, on its device.

    Raises:
        UserError: The base cannot be loaded, does not fit the task's tokenizer, or has no layer for the adapters.
    """
    model = base.load(config, task)
    if config.lora is not None:
        add_adapters(model, config.lora, config.train.seed)
    return model.to(find_device(config.train.device))  # pyright: ignore[reportArgumentType]


def trained_policy(config: Config, task: Task, folder: Path) -> PreTrainedModel:
    """The policy with the weights that a run or one of its checkpoints has written.

    Args:
        config: The run's.
        task: Built from it.
        folder: Holds `model.safetensors`.

    Raises:
        UserError: They are missing, damaged, or of another configuration.
    """
    if config.lora is None and isinstance(config.model, ModelConfig):
        # Everything is in the file: no base needs to be made first.
        model: PreTrainedModel = new_model(config.model, task.tokenizer, seed=0)
        model.to(find_device(config.train.device))  # pyright: ignore[reportArgumentType]
    else:
        model = start_policy(config, task, get_base(config, task))
    load_weights(model, folder)
    return model


def write_model_files(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Write what a model folder holds besides weights, once: the model's configuration and the tokenizer.

    Raises:
        UserError: It cannot be written.
    """
    if folder.exists():
        return
    partial = folder.with_name(f".{folder.name}.partial")
    with writing(folder):
        shutil.rmtree(partial, ignore_errors=True)
        model.config.save_pretrained(partial)
        if model.generation_config is not None:
            model.generation_config.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        partial.rename(folder)


def export_policy(run: Path, config: Config, folder: Path, out: Path, *, force: bool = False) -> None:
    """Write a model folder that transformers and vLLM read: weights with the adapters folded in, and the tokenizer.

    Neither the task nor its data are needed; the base is where there are adapters.

    Args:
        run: The run folder.
        config: The run's; `model.pretrained` may name another place of the same base.
        folder: Holds the trained `model.safetensors`.
        out: Made by one rename.
        force: Export weights that are not finite, too.

    Raises:
        UserError: The weights cannot be read or are not finite, or `out` exists, cannot be written, or has a name
            of undecodable bytes.
    """
    if out.exists():
        raise UserError(f"{out}: exists already; choose another folder")
    model, tokenizer = _finished_policy(run / MODEL_FILES, config, folder)
    for name, tensor in trained_weights(model).items():
        if not force and not tensor.isfinite().all():
            raise UserError(f"{folder}: {name} is not finite: the run has diverged (--force exports it all the same)")
    partial = out.with_name(f".{out.name}.partial")
    logging.disable_progress_bar()
    try:
        model.save_pretrained(partial, state_dict=dict(plain_weights(model)))
        tokenizer.save_pretrained(partial)
        for path in partial.glob("*.safetensors"):
            give_usual_mode(path)
        partial.rename(out)
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror or error}") from None
    except UnicodeError:
        # The tokenizers' library takes no path of other bytes.
        raise UserError(f"{out}: cannot be written: its name is no text in UTF-8; choose another folder") from None


def _finished_policy(files: Path, config: Config, folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A finished run's policy and tokenizer, from the run's own files if they are all that it takes."""
    if config.lora is None and files.is_dir():
        tokenizer, model = load_tokenizer(files), empty_model(files)
    elif isinstance(config.model, PretrainedConfig) and files.is_dir():
        tokenizer = load_tokenizer(files)
        model = load_pretrained(config.model, tokenizer)
        assert config.lora is not None
        add_adapters(model, config.lora, config.train.seed)
    else:
        # Adapters on a base of our own making, or a run of an older version.
        task = make_task(config.task, config.data)
        return trained_policy(config, task, folder), task.tokenizer
    load_weights(model, folder)
    return model, tokenizer


def add_adapters(model: PreTrainedModel, config: LoraConfig, seed: int) -> None:
    """Put low-rank adapters on the model's linear layers and freeze everything else.

    Args:
        model: Changed in place; its class and its interface stay.
        config: The table `[lora]`.
        seed: Seeds the adapters' first factor; the second is zero, so that the policy starts as its base.

    Raises:
        UserError: peft is not installed, or no layer has such a name.
    """
    try:
        import peft
    except ImportError:
        raise UserError("lora: peft is not installed: pip install 'qcontinuum[train]', or leave [lora] out") from None
    settings = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,  # pyright: ignore[reportArgumentType]
        target_modules=config.targets if isinstance(config.targets, str) else list(config.targets),
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # peft initialises from the global generator alone
        try:
            peft.inject_adapter_in_model(settings, model)
        except ValueError as error:
            raise UserError(f"lora.targets={config.targets!r}: {' '.join(str(error).split())[:200]}") from None
