"""Memory of a run, by arithmetic: weights, optimizer, activations, and how much of a rollout fits into the KV cache.

Sizes in bytes, of a model with L layers of width d, H heads and K key-value heads of size h, MLPs of inner width f and
a vocabulary V, of whose N parameters N_t are trained:

    weights      4 N                     float32
    gradient     4 N_t                   and twice as much again for Adam's moments
    reference    4 N                     the base, where train.kl asks for it
    activations  4 L d t + 2 l (2 d + 2 H h + 2 K h + 4 f) t    t tokens at once; l = L, or 1 where they are recomputed
    logits       4 V min(t, max(256, 2^24 / V))                 a chunk's
    cache        c tokens, c = 2 L K h bytes a value             prompts in float32, rows in the layers' type
    sampling     24 V a row              logits, probabilities and their sums in float64
"""

from typing import NamedTuple

import psutil
import torch
from transformers import PreTrainedModel

from qtrain.forward.head import chunk_tokens

SHARE = 0.8
"""Of the memory that is free, what a KV cache takes at most unless `rollout.cache_gib` says otherwise."""

ADAM_STATES = 2


class ModelSize(NamedTuple):
    """The sizes that memory depends on; see the module's first lines."""

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
        """Read them off a model, which may be on the meta device."""
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
        """KV cache of one token."""
        return 2 * self.layers * self.key_value_heads * self.head_dim * value_bytes

    def row_bytes(self, tokens: int, value_bytes: int) -> int:
        """What a row of so many tokens behind its prompt takes during a rollout.

        One layer's part counts twice, since the cache grows layer by layer into new memory.
        """
        grown = self.token_bytes(value_bytes) * (self.layers + 1) // self.layers
        return tokens * grown + 24 * self.vocabulary

    def prompt_bytes(self, tokens: int) -> int:
        """What a prompt takes during a rollout: its keys and values, and the inside of one layer while it runs."""
        return tokens * (self.token_bytes(4) + 4 * self._inside) + 4 * self.vocabulary

    def training_bytes(self, tokens: int, *, adam: bool, reference: bool, recompute: bool) -> dict[str, int]:
        """What training takes, by name.

        Args:
            tokens: Most tokens of a forward and backward pass.
            adam: Whether the optimizer keeps two moments.
            reference: Whether the base is kept beside the policy.
            recompute: Whether activations are computed twice instead of kept.
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
        """Values a token has inside one layer."""
        return 2 * self.hidden + 2 * (self.heads + self.key_value_heads) * self.head_dim + 4 * self.intermediate


class AtOnce(NamedTuple):
    """How much of a batch goes through the engine at a time: so many prompts, with so many samples of each."""

    prompts: int
    samples: int


def at_once(limit: int, prompt_bytes: int, row_bytes: int, prompts: int, samples: int) -> AtOnce:
    """The most that fits into a limit: whole groups, or a part of one.

    Args:
        limit: Bytes.
        prompt_bytes: Of a prompt.
        row_bytes: Of a row behind it.
        prompts: In the batch.
        samples: Of each prompt.
    """
    groups = limit // (prompt_bytes + samples * row_bytes)
    if groups >= 1:
        return AtOnce(min(prompts, groups), samples)
    return AtOnce(1, max(1, min(samples, (limit - prompt_bytes) // row_bytes)))


def free_bytes(device: torch.device) -> int:
    """Memory that is free on a device, what torch holds in reserve included."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return psutil.virtual_memory().available


def cache_limit(device: torch.device, size: ModelSize, cache_gib: float | None, *, adam: bool) -> int:
    """Most bytes of the KV cache, chosen when weights are loaded and gradient and moments are still to come."""
    if cache_gib is not None:
        return int(cache_gib * 2**30)
    to_come = 4 * size.trained * (1 + ADAM_STATES * adam)
    return max(2**20, int(SHARE * (free_bytes(device) - to_come)))


def readable(size: float) -> str:
    """A size with its unit, three digits."""
    unit, name = next(
        ((2**power, name) for power, name in ((30, "GiB"), (20, "MiB")) if size >= 2**power), (2**10, "KiB")
    )
    return f"{size / unit:.3g} {name}"
