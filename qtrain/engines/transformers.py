"""The engine `transformers`: the trained model itself, with one KV cache for sampling and for scoring y*.

The prompt runs once and its cache is repeated M times. A rationale ends at the END_THINK it samples; one that spends
its budget gets END_THINK forced, which is no choice of the model and therefore has no score term. The gold answer is
then teacher-forced on the same cache, which is cut back before an answer is sampled.
"""

from collections.abc import Sequence
from inspect import signature
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from qtrain.config import RolloutConfig
from qtrain.engines.base import Diverged, Group, Rationales
from qtrain.model import TokenIds


class TransformersEngine:
    """See `qtrain.engines.base.Engine`.

    Args:
        model: The policy. Its weights are read where they are: every update is seen at once.
        ids: Special tokens.
    """

    def __init__(self, model: PreTrainedModel, ids: TokenIds) -> None:
        self.model, self.ids, self.device = model, ids, model.device
        self.max_positions: int = model.config.max_position_embeddings

    def start(self, prompts: Sequence[list[int]], config: RolloutConfig) -> Group:
        """Run the prompts, once each."""
        return _CachedGroup(self.model, self.ids, prompts, config)

    def take_weights(self, model: PreTrainedModel) -> None:
        """Nothing is copied."""
        self.model = model

    def rest(self) -> None:
        """Nothing is kept between groups."""


def sampling_probabilities(logits_NV: Tensor, config: RolloutConfig) -> Tensor:
    """The distribution that tokens are drawn from, (N, V): temperature, then top-k, then top-p, as vLLM has them.

    Top-k keeps ties with the k-th token; top-p keeps the token at which the sum reaches it.
    """
    if config.temperature != 1:
        logits_NV = logits_NV / config.temperature
    if config.top_k is not None and config.top_k < logits_NV.shape[1]:
        kth_N1 = logits_NV.topk(config.top_k, dim=1).values[:, -1:]
        logits_NV = logits_NV.masked_fill(logits_NV < kth_N1, -torch.inf)
    p_NV = logits_NV.softmax(-1)
    if config.top_p < 1:
        sorted_NV, order_NV = p_NV.sort(dim=1, descending=True)
        before_NV = sorted_NV.cumsum(1) - sorted_NV
        p_NV = torch.zeros_like(p_NV).scatter(1, order_NV, sorted_NV.masked_fill(before_NV >= config.top_p, 0))
        p_NV = p_NV / p_NV.sum(1, keepdim=True)
    return p_NV


class _CachedGroup:
    """N rows on one cache: feeds tokens, keeps mask and positions of rows of unequal length."""

    def __init__(
        self, model: PreTrainedModel, ids: TokenIds, prompts: Sequence[Sequence[int]], config: RolloutConfig
    ) -> None:
        self.model, self.ids, self.config = model, ids, config
        lengths_B = torch.tensor([len(prompt) for prompt in prompts], device=model.device)
        width = int(lengths_B.max())
        # On the left, so that every row's last prompt token stands in the last column.
        tokens_BS = torch.tensor(
            [[ids.pad] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=model.device
        )
        column_S = torch.arange(width, device=model.device)
        mask_BS = column_S >= width - lengths_B[:, None]
        self.cache = DynamicCache(config=model.config)
        # Transformers renames it within version 5; the old name warns where there is the new one.
        self.cache_argument = "cache" if "cache" in signature(model.forward).parameters else "past_key_values"
        self.mask_NT = mask_BS
        self.length_N = torch.zeros_like(lengths_B)
        self.logits_NV = self._feed(tokens_BS, mask_BS)[:, -1]
        self.cache.batch_repeat_interleave(config.samples)
        self.mask_NT = self.mask_NT.repeat_interleave(config.samples, dim=0)
        self.length_N = self.length_N.repeat_interleave(config.samples)
        self.logits_NV = self.logits_NV.repeat_interleave(config.samples, dim=0)
        self.closed = False
        """Whether END_THINK is fed, and `logits_NV` is of the answer's first token."""

    def rationales(self, generator: torch.Generator, *, score_norms: bool) -> Rationales:
        """Sample up to the rationale budget."""
        sampled = self._sample(self.ids.end_think, self.config.rationale_budget, generator, score_norms=score_norms)
        return Rationales(sampled.tokens, sampled.log_p, sampled.unfinished_N.cpu(), sampled.score_norm_sq_N)

    def answers(self, generator: torch.Generator) -> list[list[int]]:
        """Sample up to the answer budget behind END_THINK, which `score` fed if it was called."""
        if not self.closed:
            end_think_N1 = torch.full_like(self.length_N[:, None], self.ids.end_think)
            self.logits_NV = self._feed(end_think_N1, torch.ones_like(end_think_N1, dtype=torch.bool))[:, -1]
            self.closed = True
        return self._sample(self.ids.end, self.config.answer_budget, generator, score_norms=False).tokens

    def score(self, answers: Sequence[list[int]]) -> Tensor:
        """Teacher-force END_THINK and an answer on every row; afterwards the cache ends at END_THINK."""
        device = self.logits_NV.device
        lengths_N = torch.tensor([len(answer) for answer in answers], device=device)
        width = int(lengths_N.max())
        target_NA = torch.tensor(
            [list(answer) + [self.ids.pad] * (width - len(answer)) for answer in answers], device=device
        )
        mask_NA = torch.arange(width, device=device) < lengths_N[:, None]
        end_think_N1 = torch.full_like(target_NA[:, :1], self.ids.end_think)
        # The last answer token is predicted and need not be fed, so the fed columns have the targets' mask.
        logits_NAV = self._feed(torch.cat([end_think_N1, target_NA[:, :-1]], 1), mask_NA)
        log_p_NA = logits_NAV.log_softmax(-1).gather(-1, target_NA[..., None])[..., 0].double()
        self._cut(width - 1, mask_NA[:, 1:])
        self.logits_NV = logits_NAV[:, 0]
        self.closed = True
        return (log_p_NA * mask_NA).sum(1).cpu()

    def _feed(self, tokens_NT: Tensor, mask_NT: Tensor) -> Tensor:
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
            use_cache=True,
            logits_to_keep=1 if first else 0,
            **{self.cache_argument: self.cache},
        )
        logits_NTV = output.logits.float()
        if not logits_NTV.isfinite().all():
            raise Diverged("the model's logits are not finite: its weights have diverged; lower the learning rate")
        return logits_NTV

    def _cut(self, columns: int, mask_NT: Tensor) -> None:
        """Forget the last columns, whose mask is given."""
        if columns:
            self.cache.crop(-columns)
            self.mask_NT = self.mask_NT[:, :-columns]
            self.length_N = self.length_N - mask_NT.sum(1)

    def _sample(self, stop: int, budget: int, generator: torch.Generator, *, score_norms: bool) -> "_Sampled":
        """Sample up to `budget` tokens a row. The stop token is kept in the row and not fed to the cache."""
        logits_NV = self.logits_NV
        active_N = torch.ones(len(logits_NV), dtype=torch.bool, device=logits_NV.device)
        columns, alive, log_p, norm_sq = [], [], [], []
        for _ in range(budget):
            token_N = torch.multinomial(sampling_probabilities(logits_NV, self.config), 1, generator=generator)[:, 0]
            log_p_N = logits_NV.gather(1, token_N[:, None])[:, 0] - logits_NV.logsumexp(1)
            if score_norms:
                p_NV = logits_NV.softmax(-1)
                p_token_N = p_NV.gather(1, token_N[:, None])[:, 0]
                # ||e_token - p||^2
                norm_sq.append(((1 - 2 * p_token_N + p_NV.square().sum(1)) * active_N).double())
            columns.append(token_N)
            alive.append(active_N)
            log_p.append(log_p_N)
            active_N = active_N & (token_N != stop)
            if not active_N.any():
                break
            fed_N = torch.where(active_N, token_N, self.ids.pad)
            logits_NV = self._feed(fed_N[:, None], active_N[:, None])[:, -1]
        lengths_N = torch.stack(alive, 1).sum(1).tolist()
        rows, log_p_rows = (
            [row[:length] for row, length in zip(torch.stack(columns_, 1).tolist(), lengths_N, strict=True)]
            for columns_ in (columns, log_p)
        )
        return _Sampled(rows, log_p_rows, active_N, torch.stack(norm_sq).sum(0).cpu() if score_norms else None)


class _Sampled(NamedTuple):
    """N sampled rows, the log-probabilities of their tokens, where no stop token came, and squared scores."""

    tokens: list[list[int]]
    log_p: list[list[float]]
    unfinished_N: Tensor
    score_norm_sq_N: Tensor | None
