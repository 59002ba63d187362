"""Add low-rank adapters to a model, with peft."""

import torch
from transformers import PreTrainedModel

from qtrain.config import LoraConfig
from qtrain.errors import UserError


def add_adapters(model: PreTrainedModel, config: LoraConfig, seed: int) -> None:
    """Add low-rank adapters to the model's linear layers and freeze all other weights.

    Args:
        model: Changed in place; its class and interface stay the same.
        config: The table `[lora]`.
        seed: Seeds the adapters' first factor; the second is zero, so that the policy starts equal to its base.

    Raises:
        UserError: peft is not installed, or no layer matches `targets`.
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
        torch.manual_seed(seed)  # peft initialises from the global generator only
        try:
            peft.inject_adapter_in_model(settings, model)
        except ValueError as error:
            raise UserError(f"lora.targets={config.targets!r}: {' '.join(str(error).split())[:200]}") from None
