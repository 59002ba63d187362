"""Interface of a rollout engine: sample rationales and answers, score given answers, sync weights."""

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
        tokens: N rows of token ids, including the closer if it was sampled.
        log_p: log p of each of these tokens under the model itself, in nats, whatever the sampling settings.
        truncated_N: Whether the model did not close the rationale, so that the closer is forced, on the CPU.
        score_norm_sq_N: Squared norm of the gradient of log p(z|x) with respect to the logits, float64, on the CPU;
            None if not requested.
        ended_N: Whether a token of `TokenIds.ends` ended the rationale, on the CPU; None if there are no such tokens.
    """

    tokens: list[list[int]]
    log_p: list[list[float]]
    truncated_N: Tensor
    score_norm_sq_N: Tensor | None
    ended_N: Tensor | None = None


class RolloutBatch(Protocol):
    """A rollout in progress: B prompts with M rows each, N = B * M rows, prompt-major.

    Call `rationales` once, then optionally `score`, then optionally `answers`: each call may continue from the state of
    the call before. Inputs and outputs are token ids; nothing is decoded.
    """

    def rationales(self, noise: Tensor, *, score_norms: bool) -> Rationales:
        """Sample a rationale for each row, using these rows' part of `Engine.noise`.

        A row that uses up `rationale_budget`, or ends with a token of `TokenIds.ends`, gets a forced closer.
        """
        ...

    def score(self, answers: Sequence[list[int]]) -> Tensor:
        """Score N given answers, each after its row's prompt, rationale and closer.

        Returns:
            log p(answer | x, z), with a forced closer if `TokenIds.score_closer`, under the policy, in nats,
            (N,) float64 on the CPU.
        """
        ...

    def answers(self, noise: Tensor) -> list[list[int]]:
        """Sample an answer for each row, up to and including END, or up to `answer_budget` tokens."""
        ...


class Engine(Protocol):
    """Runs a policy.

    Attributes:
        ids: Special tokens.
        device: Device of the generators passed to `noise`.
        max_positions: Length in tokens of the longest row that it can score.
    """

    ids: TokenIds
    device: torch.device
    max_positions: int

    def start(self, prompts: Sequence[list[int]], config: RolloutConfig) -> RolloutBatch:
        """Start a batch of B prompts; `config` gives samples, budgets and sampling settings, not `prompts`."""
        ...

    def at_once(self, prompts: Sequence[list[int]], answer_tokens: int, config: RolloutConfig) -> AtOnce:
        """Return how many of the prompts, and samples of each, fit into the engine's memory at once.

        Args:
            prompts: Token ids of each prompt.
            answer_tokens: Length of the longest answer that is scored or sampled, END included.
            config: Gives samples and budgets.
        """
        ...

    def noise(self, generator: torch.Generator, prompts: int, samples: int, tokens: int) -> Tensor:
        """Draw the randomness that each of the prompts x samples rows needs to sample `tokens` tokens, by row.

        It is drawn for the whole batch, so that samples do not depend on how the batch is divided.
        """
        ...

    def sync_weights(self, model: PreTrainedModel) -> None:
        """Sync the engine to the model's current weights."""
        ...

    def sleep(self) -> None:
        """Free the device's memory for the trainer until the next `start` or `sync_weights`."""
        ...
