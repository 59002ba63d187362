"""The engine `transformers`: the trained model itself, with one KV cache for sampling and for scoring y*.

Each prompt runs once and lies in memory once. A rationale ends at the END_THINK it samples; one that spends its budget
gets END_THINK forced, which is no choice of the model and therefore has no score term. The gold answer is then
teacher-forced on the same cache, and an answer sampled in its place. Rows that have ended leave the batch.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from qtrain.config import RolloutConfig
from qtrain.policy.model import TokenIds
from qtrain.rollout.engine import Diverged, Rationales, RolloutBatch
from qtrain.rollout.memory import AtOnce, ModelSize, at_once
from qtrain.rollout.sampling import draw, sampling_probabilities
from qtrain.rollout.shared_prompt import SharedPromptCache, shared_prompt_attention

LOGITS_AT_ONCE = 2**26
"""Bounds the logits of one forward pass over given answers: 256 MB. Attention's scores are bounded likewise."""

LEAVE = 1 / 8
"""The share of the batch that must have ended before it is packed anew: moving the cache is not free."""


class TransformersEngine:
    """See `qtrain.rollout.engine.Engine`.

    Args:
        model: The policy. Its weights are read where they are: every update is seen at once.
        ids: Special tokens.
        cache_bytes: Most memory of a rollout's KV cache; None sets no bound.

    Attributes:
        cache_bytes: The bound.
    """

    def __init__(self, model: PreTrainedModel, ids: TokenIds, cache_bytes: int | None = None) -> None:
        self.model, self.ids, self.device = model, ids, model.device
        self.max_positions: int = model.config.max_position_embeddings
        self.cache_bytes = cache_bytes
        self._size = ModelSize.of(model)

    def start(self, prompts: Sequence[list[int]], config: RolloutConfig) -> RolloutBatch:
        """Run the prompts, once each."""
        return _CachedGroup(self.model, self.ids, prompts, config)

    def at_once(self, prompts: Sequence[list[int]], answer_tokens: int, config: RolloutConfig) -> AtOnce:
        """As many as fit into `cache_bytes`, by the longest prompt."""
        most = AtOnce(config.prompts_at_once or len(prompts), config.samples)
        if self.cache_bytes is None:
            return most
        value_bytes = 2 if torch.is_autocast_enabled(self.device.type) else 4
        row = self._size.row_bytes(config.rationale_budget + 1 + answer_tokens, value_bytes)
        return at_once(self.cache_bytes, self._size.prompt_bytes(max(map(len, prompts))), row, *most)

    def noise(self, generator: torch.Generator, prompts: int, samples: int, tokens: int) -> Tensor:
        """A uniform number a token, (N, tokens) float64."""
        rows = prompts * samples
        return torch.rand(tokens, rows, generator=generator, dtype=torch.float64, device=self.device).T

    def sync_weights(self, model: PreTrainedModel) -> None:
        """Nothing is copied."""
        self.model = model

    def sleep(self) -> None:
        """Nothing is kept between groups."""


class _CachedGroup:
    """N = B * M rows on one cache."""

    def __init__(
        self, model: PreTrainedModel, ids: TokenIds, prompts: Sequence[Sequence[int]], config: RolloutConfig
    ) -> None:
        self.model, self.ids, self.config = model, ids, config
        with shared_prompt_attention(model):
            self.cache = SharedPromptCache(model, prompts, config.samples, ids.pad)
        self.cache.most = config.rationale_budget + 1 + config.answer_budget
        _check_finite(self.cache.logits_BV)
        self.logits_NV = self.cache.logits_BV.repeat_interleave(config.samples, dim=0)
        self.rows = len(self.logits_NV)
        self.fed_N = [0] * self.rows
        """Tokens behind its prompt that a row has in the cache."""
        self.pending: list[list[int]] = []
        """Those that it has still to be fed before its answer."""

    def rationales(self, noise: Tensor, *, score_norms: bool) -> Rationales:
        """Sample up to the rationale budget."""
        stop = self.ids.end_think
        sampled = self._sample(stop, self.config.rationale_budget, noise, score_norms=score_norms)
        # The last token sampled is not fed yet; after one that is not END_THINK that one is forced.
        self.pending = [[stop] if row[-1] == stop else [row[-1], stop] for row in sampled.tokens]
        self.fed_N = [len(row) - 1 for row in sampled.tokens]
        return sampled

    def score(self, answers: Sequence[list[int]]) -> Tensor:
        """Teacher-force END_THINK and an answer on every row; the cache then goes on behind END_THINK."""
        device = self.logits_NV.device
        # The last token of an answer is predicted and need not be fed.
        fed = [pending + answer[:-1] for pending, answer in zip(self.pending, answers, strict=True)]
        width = max(map(len, fed))
        tokens_NT = torch.tensor([row + [self.ids.pad] * (width - len(row)) for row in fed], device=device)
        aims = [[-1] * (len(pending) - 1) + answer for pending, answer in zip(self.pending, answers, strict=True)]
        aim_NT = torch.tensor([(aim + [-1] * width)[:width] for aim in aims], device=device)
        start_N = torch.tensor(self.fed_N, device=device)
        first_N = torch.tensor([len(pending) - 1 for pending in self.pending], device=device)
        end = max(self.fed_N) + width
        self.cache.reserve(end)
        log_w, first = [], []
        with shared_prompt_attention(self.model):
            for rows in self._blocks(width, end):
                logits_nTV = self.cache.feed(tokens_NT[rows], start_N[rows], end, rows)
                _check_finite(logits_nTV)
                aim_nT = aim_NT[rows]
                aimed_nT = logits_nTV.gather(-1, aim_nT.clamp(min=0)[..., None])[..., 0]
                log_p_nT = (aimed_nT - logits_nTV.logsumexp(-1)).double()
                log_w.append((log_p_nT * (aim_nT >= 0)).sum(1).cpu())
                first.append(logits_nTV[torch.arange(len(logits_nTV), device=device), first_N[rows]])
        self.logits_NV = torch.cat(first)
        self.fed_N = [fed + len(pending) for fed, pending in zip(self.fed_N, self.pending, strict=True)]
        self.pending = []
        return torch.cat(log_w)

    def answers(self, noise: Tensor) -> list[list[int]]:
        """Sample up to the answer budget behind END_THINK, which `score` fed if it was called."""
        if self.pending:
            self.score([[]] * self.rows)
        return self._sample(self.ids.end, self.config.answer_budget, noise, score_norms=False).tokens

    def _blocks(self, width: int, end: int) -> list[slice]:
        """All rows, in pieces small enough for one forward pass: of whole prompts, or of one."""
        heads, vocabulary = self.model.config.num_attention_heads, self.logits_NV.shape[1]
        scores = heads * (int(self.cache.length_B.max()) + end)
        most = max(1, LOGITS_AT_ONCE // (width * max(vocabulary, scores)))
        samples = self.config.samples
        if most >= samples:
            most = most // samples * samples
            return [slice(first, min(first + most, self.rows)) for first in range(0, self.rows, most)]
        return [
            slice(prompt + first, prompt + min(first + most, samples))
            for prompt in range(0, self.rows, samples)
            for first in range(0, samples, most)
        ]

    def _sample(self, stop: int, budget: int, uniform_Nt: Tensor, *, score_norms: bool) -> Rationales:
        """Sample a row each until `stop` or the budget.

        A row's tokens depend on its own numbers and on no other row: not on when it ends, nor on which of them are
        still in the batch.
        """
        device, rows = self.logits_NV.device, self.rows
        token_Nt = torch.zeros(rows, budget, dtype=torch.long, device=device)
        log_p_Nt = torch.zeros(rows, budget, device=device)
        length_N = torch.full((rows,), budget, device=device)
        norm_sq_N = torch.zeros(rows, dtype=torch.float64, device=device)
        order_N = torch.arange(rows, device=device)  # rows by their place in the cache; the first n are in the batch
        row_n, open_n, logits_nV = order_N, torch.ones(rows, dtype=torch.bool, device=device), self.logits_NV
        place = 0
        base = 0 if not any(self.fed_N) else torch.tensor(self.fed_N, device=device)
        with shared_prompt_attention(self.model):
            for place in range(budget):
                log_p_nV = logits_nV.log_softmax(-1)
                token_n = draw(sampling_probabilities(logits_nV, self.config), uniform_Nt[row_n, place])
                log_p_n = log_p_nV.gather(1, token_n[:, None])[:, 0]
                token_Nt[row_n, place], log_p_Nt[row_n, place] = token_n, log_p_n
                if score_norms:
                    p_nV = log_p_nV.exp()
                    # ||e_token - p||^2
                    norm_sq_n = 1 - 2 * log_p_n.exp() + p_nV.square().sum(1)
                    norm_sq_N[row_n] += (norm_sq_n * open_n).double()
                # What a row that has ended samples on until it leaves the batch is not read.
                ends_n = open_n & (token_n == stop)
                length_N[row_n[ends_n]] = place + 1
                open_n = open_n & ~ends_n
                left = int(open_n.sum())
                if left == 0 or place + 1 == budget:
                    break
                end = place + max(self.fed_N) + 1
                if left <= (1 - LEAVE) * len(open_n):
                    index_n = torch.cat([open_n.nonzero()[:, 0], (~open_n).nonzero()[:, 0]])
                    self.cache.reorder(index_n, left, end - 1)
                    order_N[: len(index_n)] = order_N[: len(index_n)][index_n]
                    row_n, token_n, open_n = order_N[:left], token_n[index_n[:left]], open_n[index_n[:left]]
                start = base + place if isinstance(base, int) else base[row_n] + place
                logits_nV = self.cache.feed(token_n[:, None], start, end, slice(0, len(row_n)))[:, -1]
                _check_finite(logits_nV)
            self.cache.reorder(order_N.argsort(), rows, place + max(self.fed_N))
        truncated_N = length_N == budget
        truncated_N &= token_Nt[:, -1] != stop
        tokens, log_p = (
            [row[:length] for row, length in zip(of_Nt.tolist(), length_N.tolist(), strict=True)]
            for of_Nt in (token_Nt, log_p_Nt)
        )
        return Rationales(tokens, log_p, truncated_N.cpu(), norm_sq_N.cpu() if score_norms else None)


def _check_finite(logits: Tensor) -> None:
    """Smallest and largest are NaN where any is, and cheaper than asking each.

    Raises:
        Diverged: A logit is not finite.
    """
    if not torch.stack([logits.amin(), logits.amax()]).isfinite().all():
        raise Diverged("the model's logits are not finite: its weights have diverged; lower the learning rate")
