"""The sizes of a transformer, and what follows from them: parameters, FLOPs a token, bytes of KV cache a token."""

import json
from dataclasses import dataclass
from pathlib import Path

from qtrain.config import Config, PretrainedConfig
from qtrain.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Shape:
    """A Qwen3-architecture transformer: RMS norms also on the heads' queries and keys, no biases.

    Attributes:
        layers: L.
        hidden: d.
        intermediate: f, of the gated MLP.
        heads: H.
        key_value_heads: K.
        head_dim: h.
        vocabulary: V.
        tied: Whether the output matrix is the embedding's.
    """

    layers: int
    hidden: int
    intermediate: int
    heads: int
    key_value_heads: int
    head_dim: int
    vocabulary: int
    tied: bool

    @property
    def parameters(self) -> int:
        """N = V d (2 V d if untied) + L (2 (H + K) h d + 3 d f + 2 d + 2 h) + d."""
        attention = 2 * (self.heads + self.key_value_heads) * self.head_dim * self.hidden
        layer = attention + 3 * self.hidden * self.intermediate + 2 * self.hidden + 2 * self.head_dim
        return (1 if self.tied else 2) * self.vocabulary * self.hidden + self.layers * layer + self.hidden

    @property
    def active(self) -> int:
        """N_a, the parameters that every token is multiplied with: N without an input embedding of its own."""
        return self.parameters - (0 if self.tied else self.vocabulary * self.hidden)

    @property
    def pair_flops(self) -> int:
        """FLOPs of attention's two products for one token and one token before it: 4 L H h."""
        return 4 * self.layers * self.heads * self.head_dim

    def cache_bytes(self, bytes_per_value: int = 2) -> int:
        """Bytes of KV cache a token: 2 L K h values."""
        return 2 * self.layers * self.key_value_heads * self.head_dim * bytes_per_value


QWEN3_0_6B = Shape(
    layers=28,
    hidden=1024,
    intermediate=3072,
    heads=16,
    key_value_heads=8,
    head_dim=128,
    vocabulary=151936,
    tied=True,
)

KNOWN = {"Qwen/Qwen3-0.6B": QWEN3_0_6B}
"""Models whose sizes are known without their files."""

_KEYS = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "intermediate": "intermediate_size",
    "heads": "num_attention_heads",
    "key_value_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "vocabulary": "vocab_size",
    "tied": "tie_word_embeddings",
}


def shape_of(config: Config) -> Shape:
    """The sizes of a configuration's pretrained model: known ones, else from its folder's config.json.

    Raises:
        UserError: They are not known.
    """
    if not isinstance(config.model, PretrainedConfig):
        raise UserError("model: the cost of a model with random weights is not estimated; give model.pretrained")
    name = config.model.pretrained
    if name in KNOWN:
        return KNOWN[name]
    path = Path(name) / "config.json"
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        return Shape(**{ours: table[theirs] for ours, theirs in _KEYS.items()})
    except FileNotFoundError:
        hint = did_you_mean(name, KNOWN)
        raise UserError(f"model.pretrained={name!r}: its sizes are not known; {hint} (or give its folder)") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise UserError(f"{path}: not the config.json of a Qwen3 model: {reason}") from None
