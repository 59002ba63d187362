"""Make the measured work: a Qwen3 of given sizes, one prompt, M completions that end in y*, coefficients."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Qwen3Config, Qwen3ForCausalLM

from qtheory.estimators import Coefficients
from qtrain.config import EstimatorChoice
from qtrain.errors import UserError
from qtrain.policy.model import TokenIds
from qtrain.rollout.rollouts import Rollouts

IDS = TokenIds(closer=(1,), end=2, pad=0)
_FIRST_PLAIN = 3
WEIGHTS_SEED, TOKENS_SEED, COEFFICIENTS_SEED = 0, 1, 2


@dataclass(frozen=True)
class ModelSize:
    """Sizes of a Qwen3 (see `transformers.Qwen3Config`); tied embeddings, as Qwen3's small models have them."""

    vocabulary: int = 32_000
    layers: int = 4
    width: int = 256
    intermediate: int = 768
    heads: int = 4
    key_value_heads: int = 2
    head_dim: int = 64


QWEN3_0_6B = ModelSize(151_936, 28, 1024, 3072, 16, 8, 128)


@dataclass(frozen=True)
class Shape:
    """One group: P prompt tokens and M completions of R tokens each, which end with y*.

    Attributes:
        prompt: P.
        completion: R, the rationale with END_THINK plus y* with END.
        samples: M.
        answer: Tokens of y*.
        model: Sizes of the model.
    """

    prompt: int
    completion: int
    samples: int = 32
    answer: int = 8
    model: ModelSize = field(default_factory=ModelSize)

    @classmethod
    def of(cls, table: dict) -> "Shape":
        """Build from the result of `dataclasses.asdict`."""
        return cls(**{**table, "model": ModelSize(**table["model"])})

    @classmethod
    def parse(cls, text: str) -> "Shape":
        """Parse PxR, as on the command line.

        Raises:
            UserError: The text is not two numbers, or leaves no room for a rationale.
        """
        prompt, cross, completion = text.partition("x")
        if not (cross and prompt.isdecimal() and completion.isdecimal()):
            raise UserError(f"--shapes {text!r}: write prompt tokens x completion tokens, for example 512x128")
        shape = cls(int(prompt), int(completion))
        if shape.prompt < 1 or shape.completion < shape.answer + 2:
            raise UserError(
                f"--shapes {text}: a prompt of 1 and a completion of {shape.answer + 2} tokens are the least"
            )
        return shape

    def with_vocabulary(self, size: int) -> "Shape":
        """The same shape with another vocabulary."""
        return replace(self, model=replace(self.model, vocabulary=size))

    def __str__(self) -> str:
        return f"{self.prompt}x{self.completion}"


def make_model(shape: Shape, device: torch.device) -> Qwen3ForCausalLM:
    """The model with random weights, the same at every call."""
    size = shape.model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(WEIGHTS_SEED)
        config = Qwen3Config(
            vocab_size=size.vocabulary,
            hidden_size=size.width,
            intermediate_size=size.intermediate,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            num_key_value_heads=size.key_value_heads,
            head_dim=size.head_dim,
            max_position_embeddings=shape.prompt + shape.completion + 64,
            tie_word_embeddings=True,
            eos_token_id=IDS.end,
            pad_token_id=IDS.pad,
        )
        model = Qwen3ForCausalLM(config)
    nn.Module.to(model, device)  # the model's own `to` is untyped
    return model.eval()


@dataclass(frozen=True)
class Work:
    """The inputs of an update.

    Attributes:
        rollouts: One group; no rationale is truncated, and no answers are sampled.
        coefficients_BM: The estimator's coefficients for the group's weights.
    """

    rollouts: Rollouts
    coefficients_BM: Coefficients

    @property
    def tokens_MT(self) -> Tensor:
        """Prompt and completion of every sample, all of one length."""
        rollouts = self.rollouts
        return torch.tensor([rollouts.prompts[0] + rationale + rollouts.gold[0] for rationale in rollouts.rationales])

    @property
    def coefficient_MR(self) -> Tensor:
        """The coefficient of each of the completion's tokens, float32."""
        lengths = len(self.rollouts.rationales[0]), len(self.rollouts.gold[0])
        parts = (part[0].float()[:, None] for part in self.coefficients_BM)
        return torch.cat([part.expand(-1, length) for part, length in zip(parts, lengths, strict=True)], 1)


def make_work(shape: Shape, estimator: str = "garl:q=0.75", spread: float = 1.0) -> Work:
    """One group with random tokens and weights, the same at every call.

    Args:
        shape: Lengths of the group.
        estimator: Estimator of the coefficients; it must read weights.
        spread: Standard deviation of log w in nats: the larger it is, the fewer samples carry the weight.
    """
    rng = np.random.default_rng(TOKENS_SEED)

    def tokens(count: int) -> list[int]:
        return rng.integers(_FIRST_PLAIN, shape.model.vocabulary, size=count).tolist()

    prompt, gold = tokens(shape.prompt), [*tokens(shape.answer - 1), IDS.end]
    rationale = shape.completion - shape.answer
    rationales = [[*tokens(rationale - 1), IDS.closer[0]] for _ in range(shape.samples)]
    rng = np.random.default_rng(COEFFICIENTS_SEED)
    log_w_BM = torch.from_numpy(spread * rng.normal(size=(1, shape.samples)))
    log_w_BM = log_w_BM - log_w_BM.max() - 1  # nats; at most 0
    coefficients_BM = EstimatorChoice.parse(estimator).coefficients(log_w_BM, None, rng)
    truncated_BM = torch.zeros(log_w_BM.shape, dtype=torch.bool)
    return Work(Rollouts([prompt], [gold], rationales, truncated_BM, log_w_BM, None, None), coefficients_BM)
