"""Estimate a run's memory: weights, optimizer, activations, and how much of a rollout fits into the KV cache.

Sizes in bytes of a model with L layers of width d, H heads and K key-value heads of size h, MLPs of inner width f and
a vocabulary of V, with N parameters of which N_t are trained:

    weights      4 N                     float32
    gradient     4 N_t                   and twice as much again for Adam's moments
    reference    4 N                     the base, if train.kl is set
    activations  4 L d t + 2 l (2 d + 2 H h + 2 K h + 4 f) t    t tokens at once; l = L, or 1 if they are recomputed
    logits       4 V min(t, max(256, 2^24 / V))                 of one chunk
    cache        2 L K h values per token                       prompts in float32, rows in the layers' type
    sampling     24 V per row            logits, probabilities and their sums in float64
"""

from typing import NamedTuple

import psutil
import torch
from transformers import PreTrainedModel

from qtrain.forward.head import chunk_tokens

SHARE = 0.8
"""Largest share of free memory that the KV cache takes unless `rollout.cache_gib` is set."""

ADAM_STATES = 2


class ModelSize(NamedTuple):
    """Sizes of a model that determine its memory; see the module's docstring."""

    parameters: int
    trained: int
    layers: int
    hidden: int
    intermediate: int
    heads: int
    key_value_heads: int
    head_dim: int
    vocabulary: int

    @classmethod
    def of(cls, model: PreTrainedModel) -> "ModelSize":
        """Read the sizes from a model, which may be on the meta device."""
        config = model.config.get_text_config()
        heads, hidden = config.num_attention_heads, config.hidden_size
        return cls(
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            trained=sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
            layers=config.num_hidden_layers,
            hidden=hidden,
            intermediate=getattr(config, "intermediate_size", None) or 4 * hidden,
            heads=heads,
            key_value_heads=getattr(config, "num_key_value_heads", None) or heads,
            head_dim=getattr(config, "head_dim", None) or hidden // heads,
            vocabulary=config.vocab_size,
        )

    def token_bytes(self, value_bytes: int) -> int:
        """Return the size of one token in the KV cache."""
        return 2 * self.layers * self.key_value_heads * self.head_dim * value_bytes

    def row_bytes(self, tokens: int, value_bytes: int) -> int:
        """Return the memory of a row with `tokens` tokens after its prompt during a rollout.

        One layer counts twice, since the cache grows by copying one layer at a time into new memory.
        """
        cached = self.token_bytes(value_bytes) * (self.layers + 1) // self.layers
        return tokens * cached + 24 * self.vocabulary

    def prompt_bytes(self, tokens: int) -> int:
        """Return the memory of a prompt during a rollout: its keys and values, and one layer's activations."""
        return tokens * (self.token_bytes(4) + 4 * self._inside) + 4 * self.vocabulary

    def training_bytes(self, tokens: int, *, adam: bool, reference: bool, recompute: bool) -> dict[str, int]:
        """Return the memory of training by purpose, without those that are 0.

        Args:
            tokens: Most tokens of a forward and backward pass.
            adam: Whether the optimizer keeps two moments.
            reference: Whether the base is in memory in addition to the policy.
            recompute: Whether activations are recomputed instead of kept.
        """
        layers = 1 if recompute else self.layers
        parts = {
            "weights": 4 * self.parameters,
            "gradient": 4 * self.trained,
            "optimizer": 4 * ADAM_STATES * self.trained if adam else 0,
            "reference": 4 * self.parameters if reference else 0,
            "activations": (4 * self.layers * self.hidden + 2 * layers * self._inside) * tokens,
            "logits": 4 * self.vocabulary * min(tokens, chunk_tokens(self.vocabulary)),
        }
        return {name: size for name, size in parts.items() if size}

    @property
    def _inside(self) -> int:
        """Number of activation values of a token inside one layer."""
        return 2 * self.hidden + 2 * (self.heads + self.key_value_heads) * self.head_dim + 4 * self.intermediate


class AtOnce(NamedTuple):
    """How much of a batch goes through the engine at once: the number of prompts, and of samples of each."""

    prompts: int
    samples: int


def at_once(max_bytes: int, prompt_bytes: int, row_bytes: int, prompts: int, samples: int) -> AtOnce:
    """Return the most that fits into `max_bytes`: whole groups, or a part of one group.

    Args:
        max_bytes: Memory available.
        prompt_bytes: Memory of a prompt.
        row_bytes: Memory of a row after its prompt.
        prompts: Number of prompts in the batch.
        samples: Number of samples of each prompt.
    """
    groups = max_bytes // (prompt_bytes + samples * row_bytes)
    if groups >= 1:
        return AtOnce(min(prompts, groups), samples)
    return AtOnce(1, max(1, min(samples, (max_bytes - prompt_bytes) // row_bytes)))


def free_bytes(device: torch.device) -> int:
    """Return the free memory of a device, including what torch has reserved but does not use."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return psutil.virtual_memory().available


def cache_limit(device: torch.device, size: ModelSize, cache_gib: float | None, *, adam: bool) -> int:
    """Return the largest size of the KV cache in bytes, when weights are loaded but gradient and moments are not."""
    if cache_gib is not None:
        return int(cache_gib * 2**30)
    unallocated = 4 * size.trained * (1 + ADAM_STATES * adam)
    return max(2**20, int(SHARE * (free_bytes(device) - unallocated)))


def readable(size: float) -> str:
    """Format a size with its unit, to three digits."""
    unit, name = next(
        ((2**power, name) for power, name in ((30, "GiB"), (20, "MiB")) if size >= 2**power), (2**10, "KiB")
    )
    return f"{size / unit:.3g} {name}"
