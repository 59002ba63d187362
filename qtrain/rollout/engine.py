"""What a rollout engine is: it samples rationales and answers, scores given answers, and takes new weights."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from qtrain.config import RolloutConfig
from qtrain.errors import UserError
from qtrain.policy.model import TokenIds
from qtrain.rollout.memory import AtOnce


class Diverged(UserError):
    """The model's weights no longer give finite logits or gradients."""


class Rationales(NamedTuple):
    """N sampled rationales.

    Attributes:
        tokens: N rows of token ids, END_THINK included where it was sampled.
        log_p: log p of each of these tokens under the model itself, in nats, whatever the sampling settings.
        truncated_N: Where the budget ran out and END_THINK is forced, on the CPU.
        score_norm_sq_N: Squared norm of grad log p(z|x) in the logits, float64, on the CPU; None where not asked for.
    """

    tokens: list[list[int]]
    log_p: list[list[float]]
    truncated_N: Tensor
    score_norm_sq_N: Tensor | None


class RolloutBatch(Protocol):
    """B prompts with M rows each under way, N = B * M rows, prompt-major.

    The calls come in the order below, `rationales` once: an engine may go on from the state that the last call left.
    `score` and `answers` may each be left out.
    Token ids go in and come out; nothing is decoded.
    """

    def rationales(self, noise: Tensor, *, score_norms: bool) -> Rationales:
        """Sample a rationale a row, from the rows' part of `Engine.noise`.

        A row that spends `rationale_budget` gets END_THINK forced.
        """
        ...

    def score(self, answers: Sequence[list[int]]) -> Tensor:
        """Score N given answers behind prompt, rationale and END_THINK.

        Returns:
            log p(answer | x, z) under the model itself, in nats, (N,) float64 on the CPU.
        """
        ...

    def answers(self, noise: Tensor) -> list[list[int]]:
        """Sample an answer a row, up to END or `answer_budget` tokens; END is kept in the row."""
        ...


class Engine(Protocol):
    """Runs a policy.

    Attributes:
        ids: Special tokens.
        device: Where it looks for the generators of its randomness.
        max_positions: The longest row, in tokens, that it can score.
    """

    ids: TokenIds
    device: torch.device
    max_positions: int

    def start(self, prompts: Sequence[list[int]], config: RolloutConfig) -> RolloutBatch:
        """Begin with B prompts; `config` gives samples, budgets and sampling settings (its `prompts` is not read)."""
        ...

    def at_once(self, prompts: Sequence[list[int]], answer_tokens: int, config: RolloutConfig) -> AtOnce:
        """How many of the prompts, and samples of each, the engine's memory has room for.

        Args:
            prompts: As token ids.
            answer_tokens: Of the longest answer that is scored or sampled, END included.
            config: Samples and budgets.
        """
        ...

    def noise(self, generator: torch.Generator, prompts: int, samples: int, tokens: int) -> Tensor:
        """The randomness of a batch: what each of the prompts x samples rows needs for so many tokens, row by row.

        It is drawn for the whole batch, so that what is sampled does not depend on how the batch is divided.
        """
        ...

    def sync_weights(self, model: PreTrainedModel) -> None:
        """Go on with this model's present weights."""
        ...

    def sleep(self) -> None:
        """Leave the device's memory to the trainer until the next `start` or `sync_weights`."""
        ...
