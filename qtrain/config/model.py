"""Tables `[model]` and `[lora]`: random weights of given sizes or pretrained ones, and low-rank adapters on them."""

from typing import Literal

from pydantic import Field, model_validator

from qtrain.errors import UserError
from qtrain.schema import StrictModel


class ModelConfig(StrictModel):
    """A Qwen3-architecture transformer with random weights (see `transformers.Qwen3Config`)."""

    hidden_size: int = Field(default=64, ge=4)
    intermediate_size: int = Field(default=192, ge=4)
    layers: int = Field(default=2, ge=1, le=10_000)
    heads: int = Field(default=4, ge=1)
    key_value_heads: int = Field(default=4, ge=1)
    head_dim: int = Field(default=16, ge=2, multiple_of=2)
    max_positions: int = Field(default=64, ge=8)
    tied_embeddings: bool = False

    @model_validator(mode="after")
    def _heads_share_keys_evenly(self) -> "ModelConfig":
        if self.heads % self.key_value_heads:
            raise ValueError(f"heads={self.heads}: a multiple of key_value_heads={self.key_value_heads} is needed")
        return self


class PretrainedConfig(StrictModel):
    """A pretrained causal language model: a folder that transformers can read, or its id on the hub.

    `revision` is a branch, tag or commit of the hub's. Sizes come with the weights, the tokenizer too unless
    `task.tokenizer` names another. Weights are safetensors, and no code of the folder or repository is run.
    """

    pretrained: str = Field(min_length=1)
    revision: str | None = None


AnyModelConfig = ModelConfig | PretrainedConfig


class LoraConfig(StrictModel):
    """Low-rank adapters (peft): W + (alpha/rank) B A on the layers named in `targets`; the base's weights stay frozen.

    "all-linear" is every linear layer but the output matrix. There is no dropout: training and sampling are the same
    function.
    """

    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32.0, gt=0)
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"


def model_class(table: object) -> type[AnyModelConfig]:
    """Which of the two a table `[model]` is.

    Raises:
        UserError: It is no table.
    """
    if not isinstance(table, dict):
        raise UserError(f"model: a table is needed, not {type(table).__name__}")
    return PretrainedConfig if "pretrained" in table else ModelConfig


def model_config(table: object) -> AnyModelConfig:
    """Check the table `[model]`."""
    return table if isinstance(table, ModelConfig | PretrainedConfig) else model_class(table).model_validate(table)
