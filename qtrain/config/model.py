"""Tables `[model]` and `[lora]`: a model with random or with pretrained weights, and low-rank adapters."""

from typing import Literal

from pydantic import Field, model_validator

from qtrain.errors import UserError
from qtrain.schema import StrictModel


class ModelConfig(StrictModel):
    """Table `[model]` for random weights: the sizes of a transformer of the Qwen3 architecture.

    Attributes:
        hidden_size: Width of the residual stream.
        intermediate_size: Width of the MLPs.
        layers: Number of layers.
        heads: Attention heads per layer.
        key_value_heads: Heads of keys and values, a divisor of `heads`.
        head_dim: Dimension of an attention head, even.
        max_positions: Longest sequence, in tokens.
        tied_embeddings: Share one matrix between the embeddings and the output layer.
    """

    hidden_size: int = Field(default=64, ge=4)
    intermediate_size: int = Field(default=192, ge=4)
    layers: int = Field(default=2, ge=1, le=10_000)
    heads: int = Field(default=4, ge=1)
    key_value_heads: int = Field(default=4, ge=1)
    head_dim: int = Field(default=16, ge=2, multiple_of=2)
    max_positions: int = Field(default=64, ge=8)
    tied_embeddings: bool = False

    @model_validator(mode="after")
    def _check_heads(self) -> "ModelConfig":
        if self.heads % self.key_value_heads:
            raise ValueError(f"heads={self.heads}: a multiple of key_value_heads={self.key_value_heads} is needed")
        return self


class PretrainedConfig(StrictModel):
    """Table `[model]` for a pretrained causal language model.

    The sizes come with the weights, and so does the tokenizer, unless `task.tokenizer` names another. Weights are read
    from safetensors, and code in the folder or repository is never run.

    Attributes:
        pretrained: A folder that transformers can read, or an id on the hub.
        revision: A branch, tag or commit on the hub.
    """

    pretrained: str = Field(min_length=1)
    revision: str | None = None


AnyModelConfig = ModelConfig | PretrainedConfig


class LoraConfig(StrictModel):
    """Table `[lora]`: train low-rank adapters (peft), W + (alpha/rank) B A, and keep the base's weights frozen.

    There is no dropout, so that training and sampling use the same function.

    Attributes:
        rank: Rank of A and B.
        alpha: Scale of the adapters, which is divided by `rank`.
        targets: Names of the adapted layers; "all-linear" is every linear layer but the output matrix.
    """

    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32.0, gt=0)
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"


def model_class(table: object) -> type[AnyModelConfig]:
    """Choose the class that a table `[model]` is checked against.

    Raises:
        UserError: The value is not a table.
    """
    if not isinstance(table, dict):
        raise UserError(f"model: a table is needed, not {type(table).__name__}")
    return PretrainedConfig if "pretrained" in table else ModelConfig


def model_config(table: object) -> AnyModelConfig:
    """Check the table `[model]`."""
    return table if isinstance(table, ModelConfig | PretrainedConfig) else model_class(table).model_validate(table)
