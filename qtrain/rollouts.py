"""Rollouts: M rationales a prompt from the model itself, with one KV cache for sampling and for scoring y*.

The prompt runs once and its cache is repeated M times. A rationale ends at the END_THINK it samples; one that spends
its budget gets END_THINK forced, which is no choice of the model and therefore has no score term. The gold answer is
then teacher-forced on the same cache: log w = log p(y*|x, z). Where rewards are needed the cache is cut back and an
answer is sampled. Tokens in, tokens out: nothing is decoded on the way.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from qtrain.config import RolloutConfig
from qtrain.errors import UserError
from qtrain.model import TokenIds


class Diverged(UserError):
    """The model's weights no longer give finite logits or gradients."""


@dataclass(frozen=True)
class Rollouts:
    """What one batch of prompts gave: B pools of M rationales, rows prompt-major.

    Attributes:
        prompts: B prompts as token ids.
        gold: B gold answers as token ids, END included.
        rationales: B * M rationales as token ids, END_THINK included where it was sampled.
        forced_BM: Where END_THINK was forced.
        log_w_BM: log p(y*|x, z) in nats, float64.
        answers: B * M sampled answers as token ids, END included where it was sampled; None where none were asked for.
        reward_BM: 1 where the sampled answer is y* to the token, else 0, float64; None likewise.
        score_norm_sq_BM: Squared norm of grad log p(z|x) in the logits, the sum over the sampled tokens of
            ||e_token - p||^2, float64; None where it was not asked for.
    """

    prompts: list[list[int]]
    gold: list[list[int]]
    rationales: list[list[int]]
    forced_BM: Tensor
    log_w_BM: Tensor
    answers: list[list[int]] | None
    reward_BM: Tensor | None
    score_norm_sq_BM: Tensor | None = None


class _Branch:
    """A batch of N rows on one cache: feeds tokens, keeps mask and positions of rows of unequal length."""

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], samples: int, pad: int) -> None:
        self.model = model
        lengths_B = torch.tensor([len(prompt) for prompt in prompts], device=model.device)
        width = int(lengths_B.max())
        # On the left, so that every row's last prompt token stands in the last column.
        tokens_BS = torch.tensor(
            [[pad] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=model.device
        )
        column_S = torch.arange(width, device=model.device)
        mask_BS = column_S >= width - lengths_B[:, None]
        self.cache = DynamicCache(config=model.config)
        self.mask_NT = mask_BS
        self.length_N = torch.zeros_like(lengths_B)
        self.logits_NV = self.feed(tokens_BS, mask_BS)[:, -1]
        self.cache.batch_repeat_interleave(samples)
        self.mask_NT = self.mask_NT.repeat_interleave(samples, dim=0)
        self.length_N = self.length_N.repeat_interleave(samples)
        self.logits_NV = self.logits_NV.repeat_interleave(samples, dim=0)

    def feed(self, tokens_NT: Tensor, mask_NT: Tensor) -> Tensor:
        """Run the model on further tokens of every row; masked ones are not seen by later tokens.

        Returns:
            float32 logits at the tokens fed, (N, T, V); for the prompt, at its last token alone.

        Raises:
            Diverged: A logit is not finite.
        """
        first = self.cache.get_seq_length() == 0
        if not first:
            self.mask_NT = torch.cat([self.mask_NT, mask_NT], dim=1)
        positions_NT = (self.length_N[:, None] + mask_NT.cumsum(1) - 1).clamp(min=0)
        self.length_N = self.length_N + mask_NT.sum(1)
        output = self.model(
            input_ids=tokens_NT,
            attention_mask=None if bool(self.mask_NT.all()) else self.mask_NT,
            position_ids=positions_NT,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1 if first else 0,
        )
        logits_NTV = output.logits.float()
        if not logits_NTV.isfinite().all():
            raise Diverged("the model's logits are not finite: its weights have diverged; lower the learning rate")
        return logits_NTV

    def cut(self, columns: int, mask_NT: Tensor) -> None:
        """Forget the last columns, whose mask is given."""
        if columns:
            self.cache.crop(-columns)
            self.mask_NT = self.mask_NT[:, :-columns]
            self.length_N = self.length_N - mask_NT.sum(1)


@torch.no_grad()
def roll_out(
    model: PreTrainedModel,
    ids: TokenIds,
    prompts: list[list[int]],
    gold: list[list[int]],
    config: RolloutConfig,
    generator: torch.Generator,
    *,
    sample_answers: bool,
    score_norms: bool = False,
) -> Rollouts:
    """Sample rationales, score the gold answers, and sample answers where the estimator needs rewards.

    Args:
        model: The policy.
        ids: Special tokens.
        prompts: B prompts as token ids.
        gold: B gold answers as token ids, END included.
        config: Samples a prompt and budgets (`config.prompts` is not read).
        generator: Source of randomness, on the model's device.
        sample_answers: Whether to sample answers and compute rewards.
        score_norms: Whether to note the rationales' squared scores.

    Raises:
        UserError: A row may become longer than the model's positions reach.
        Diverged: The model gives logits that are not finite.
    """
    _check_length(model, prompts, gold, config)
    branch = _Branch(model, prompts, config.samples, ids.pad)
    shape_BM = (len(prompts), config.samples)
    norms: list[Tensor] | None = [] if score_norms else None
    rationales, forced_N = _sample(branch, ids.end_think, ids.pad, config.rationale_budget, generator, norms)
    log_w_N = _score(branch, ids, [answer for answer in gold for _ in range(config.samples)])
    answers = reward_BM = None
    if sample_answers:
        answers, _ = _sample(branch, ids.end, ids.pad, config.answer_budget, generator)
        reward_BM = torch.tensor(
            [float(answer == gold[row // config.samples]) for row, answer in enumerate(answers)],
            dtype=torch.float64,
        ).reshape(shape_BM)
    return Rollouts(
        prompts,
        gold,
        rationales,
        forced_N.reshape(shape_BM),
        log_w_N.reshape(shape_BM),
        answers,
        reward_BM,
        None if norms is None else torch.stack(norms).sum(0).reshape(shape_BM).cpu(),
    )


def _check_length(
    model: PreTrainedModel, prompts: list[list[int]], gold: list[list[int]], config: RolloutConfig
) -> None:
    answer = max(config.answer_budget, *map(len, gold))
    needed = max(map(len, prompts)) + config.rationale_budget + 1 + answer
    if needed > model.config.max_position_embeddings:
        raise UserError(
            f"model.max_positions={model.config.max_position_embeddings}: prompt, rationale budget and answer need "
            f"{needed}; raise it, or shorten prompts or budgets"
        )


def _sample(
    branch: _Branch,
    stop: int,
    pad: int,
    budget: int,
    generator: torch.Generator,
    norms: list[Tensor] | None = None,
) -> tuple[list[list[int]], Tensor]:
    """Sample up to `budget` tokens a row. The stop token is kept in the row and not fed to the cache.

    Each token's ||e_token - p||^2, (N,) and 0 in finished rows, is appended to `norms` where that is given.

    Returns:
        N rows of token ids, and where the budget ran out without a stop token, (N,).
    """
    logits_NV = branch.logits_NV
    active_N = torch.ones(len(logits_NV), dtype=torch.bool, device=logits_NV.device)
    columns, alive = [], []
    for _ in range(budget):
        p_NV = logits_NV.softmax(-1)
        token_N = torch.multinomial(p_NV, 1, generator=generator)[:, 0]
        if norms is not None:
            p_token_N = p_NV.gather(1, token_N[:, None])[:, 0]
            norms.append(((1 - 2 * p_token_N + p_NV.square().sum(1)) * active_N).double())
        columns.append(token_N)
        alive.append(active_N)
        active_N = active_N & (token_N != stop)
        if not active_N.any():
            break
        fed_N = torch.where(active_N, token_N, pad)
        logits_NV = branch.feed(fed_N[:, None], active_N[:, None])[:, -1]
    tokens_NR, lengths_N = torch.stack(columns, 1).tolist(), torch.stack(alive, 1).sum(1).tolist()
    return [row[:length] for row, length in zip(tokens_NR, lengths_N, strict=True)], active_N


def _score(branch: _Branch, ids: TokenIds, answers: list[list[int]]) -> Tensor:
    """Teacher-force END_THINK and an answer on every row; afterwards the cache ends at END_THINK.

    Returns:
        log p(answer | x, z) in nats, (N,) float64, summed over the answer's tokens.
    """
    device = branch.logits_NV.device
    lengths_N = torch.tensor([len(answer) for answer in answers], device=device)
    width = int(lengths_N.max())
    target_NA = torch.tensor([answer + [ids.pad] * (width - len(answer)) for answer in answers], device=device)
    mask_NA = torch.arange(width, device=device) < lengths_N[:, None]
    end_think_N1 = torch.full_like(target_NA[:, :1], ids.end_think)
    # The last answer token is predicted and need not be fed, so the fed columns have the targets' mask.
    logits_NAV = branch.feed(torch.cat([end_think_N1, target_NA[:, :-1]], 1), mask_NA)
    log_p_NA = logits_NAV.log_softmax(-1).gather(-1, target_NA[..., None])[..., 0].double()
    branch.cut(width - 1, mask_NA[:, 1:])
    branch.logits_NV = logits_NAV[:, 0]
    return (log_p_NA * mask_NA).sum(1).cpu()
