"""The policy: a base on its device, adapters where asked for; a run's weights again; a model for other programs."""

from pathlib import Path

import torch
from transformers import PreTrainedModel

from qtrain.config import Config
from qtrain.device import find_device
from qtrain.disk import give_usual_mode
from qtrain.errors import UserError
from qtrain.model import new_model
from qtrain.model_config import LoraConfig, ModelConfig
from qtrain.pretrain import Base, get_base
from qtrain.tasks import Task
from qtrain.weights import load_weights, plain_weights


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


def export_policy(config: Config, task: Task, folder: Path, out: Path) -> None:
    """Write a model folder that transformers and vLLM read: weights with the adapters folded in, and the tokenizer.

    Args:
        config: The run's.
        task: Built from it.
        folder: Holds the trained `model.safetensors`.
        out: Made by one rename.

    Raises:
        UserError: The weights cannot be read, or `out` exists, cannot be written, or has a name of undecodable bytes.
    """
    if out.exists():
        raise UserError(f"{out}: exists already; choose another folder")
    model = trained_policy(config, task, folder)
    partial = out.with_name(f".{out.name}.partial")
    try:
        model.save_pretrained(partial, state_dict=dict(plain_weights(model)))
        task.tokenizer.save_pretrained(partial)
        for path in partial.glob("*.safetensors"):
            give_usual_mode(path)
        partial.rename(out)
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror or error}") from None
    except UnicodeError:
        # The tokenizers' library takes no path of other bytes.
        raise UserError(f"{out}: cannot be written: its name is no text in UTF-8; choose another folder") from None


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
