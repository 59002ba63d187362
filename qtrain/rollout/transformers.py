"""The engine `transformers`: the trained model itself, with one KV cache for sampling and for scoring y*.

Each prompt is run and stored once, if the model's attention allows that (see `qtrain.rollout.caches`). A rationale
ends with the closer that it samples. If it uses up its budget, or samples a token that ends the model's turn, the
closer is forced, which is not the model's choice and therefore has no score term. The gold answer is then
teacher-forced on the same cache, and an answer is sampled instead of it. Rows that have ended leave the batch.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from qtrain.config import RolloutConfig
from qtrain.forward.rows import forced_closer
from qtrain.policy.model import TokenIds
from qtrain.rollout.caches import cache_attention, make_cache, shares_prompts
from qtrain.rollout.engine import Diverged, Rationales, RolloutBatch
from qtrain.rollout.memory import AtOnce, ModelSize, at_once
from qtrain.rollout.sampling import draw, sampling_probabilities

LOGITS_AT_ONCE = 2**26
"""Most logits, and most attention scores, in a forward pass over given answers: 256 MB each."""

LEAVE = 1 / 8
"""Share of the batch that must have ended before these rows are removed, since moving the cache takes time."""


class TransformersEngine:
    """Engine that samples from the trained model itself; see `qtrain.rollout.engine.Engine`.

    Args:
        model: The policy. Its weights are not copied, so that every update takes effect immediately.
        ids: Special tokens.
        cache_bytes: Largest size of a rollout's KV cache; None for no bound.

    Attributes:
        cache_bytes: Largest size of the KV cache.
    """

    def __init__(self, model: PreTrainedModel, ids: TokenIds, cache_bytes: int | None = None) -> None:
        self.model, self.ids, self.device = model, ids, model.device
        # Models without a table of positions, or a bound on rotary ones, accept any length.
        positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self.max_positions: int = positions or 2**31
        self.cache_bytes = cache_bytes
        self._size = ModelSize.of(model)

    def start(self, prompts: Sequence[list[int]], config: RolloutConfig) -> RolloutBatch:
        """Run each prompt once (prefill)."""
        return _CachedBatch(self.model, self.ids, prompts, config)

    def at_once(self, prompts: Sequence[list[int]], answer_tokens: int, config: RolloutConfig) -> AtOnce:
        """Return how many fit into `cache_bytes` if all prompts are as long as the longest."""
        everything = AtOnce(config.prompts_at_once or len(prompts), config.samples)
        if self.cache_bytes is None:
            return everything
        value_bytes = 2 if torch.is_autocast_enabled(self.device.type) else 4
        prompt = max(map(len, prompts))
        # Without sharing, the cache holds a prompt again for each of its rows.
        own_tokens = config.rationale_budget + len(self.ids.closer) + answer_tokens
        own_tokens += 0 if shares_prompts(self.model) else prompt
        row = self._size.row_bytes(own_tokens, value_bytes)
        return at_once(self.cache_bytes, self._size.prompt_bytes(prompt), row, *everything)

    def noise(self, generator: torch.Generator, prompts: int, samples: int, tokens: int) -> Tensor:
        """Draw a uniform number for each token, (N, tokens) float64."""
        rows = prompts * samples
        return torch.rand(tokens, rows, generator=generator, dtype=torch.float64, device=self.device).T

    def sync_weights(self, model: PreTrainedModel) -> None:
        """Use this model; nothing is copied."""
        self.model = model

    def sleep(self) -> None:
        """Do nothing, since no memory is kept between batches."""


class _CachedBatch:
    """A `RolloutBatch` of N = B * M rows on one KV cache."""

    def __init__(
        self, model: PreTrainedModel, ids: TokenIds, prompts: Sequence[Sequence[int]], config: RolloutConfig
    ) -> None:
        self.model, self.ids, self.config = model, ids, config
        self.cache = make_cache(model, prompts, config.samples, ids.pad, config.temperature)
        self.cache.max_columns = config.rationale_budget + len(ids.closer) + config.answer_budget
        _check_finite(self.cache.logits_BV)
        self.logits_NV = self.cache.logits_BV.repeat_interleave(config.samples, dim=0)
        self.rows = len(self.logits_NV)
        self.num_cached_N = [0] * self.rows
        """Number of tokens after its prompt that each row has in the cache."""
        self.pending: list[list[int]] = []
        """Tokens of each row that are not in the cache yet and precede its answer."""

    def rationales(self, noise: Tensor, *, score_norms: bool) -> Rationales:
        """Sample up to the rationale budget."""
        budget = self.config.rationale_budget
        sampled = self._sample(self.ids.closer, self.ids.ends, budget, noise, score_norms=score_norms)
        # The last sampled token is not in the cache yet; a forced closer follows it.
        self.pending = [
            [row[-1], *(forced_closer(self.ids, row) if is_truncated else [])]
            for row, is_truncated in zip(sampled.tokens, sampled.truncated_N.tolist(), strict=True)
        ]
        self.num_cached_N = [len(row) - 1 for row in sampled.tokens]
        return sampled

    def score(self, answers: Sequence[list[int]]) -> Tensor:
        """Teacher-force closer and answer on every row; the cache then continues after the closer."""
        device = self.logits_NV.device
        # The last token of an answer is predicted only, and need not be run.
        inputs = [pending + answer[:-1] for pending, answer in zip(self.pending, answers, strict=True)]
        width = max(map(len, inputs))
        tokens_NT = torch.tensor([row + [self.ids.pad] * (width - len(row)) for row in inputs], device=device)
        # -1 for tokens that are not scored: a forced closer (unless it counts), and padding.
        targets = [
            (pending[1:] if self.ids.score_closer else [-1] * (len(pending) - 1)) + answer
            for pending, answer in zip(self.pending, answers, strict=True)
        ]
        target_NT = torch.tensor([(row + [-1] * width)[:width] for row in targets], device=device)
        start_N = torch.tensor(self.num_cached_N, device=device)
        first_N = torch.tensor([len(pending) - 1 for pending in self.pending], device=device)
        end = max(self.num_cached_N) + width
        self.cache.reserve(end)
        log_w, first = [], []
        with cache_attention(self.model, self.cache):
            for rows in self._blocks(width, end):
                logits_nTV = self.cache.extend(tokens_NT[rows], start_N[rows], end, rows)
                _check_finite(logits_nTV)
                target_nT = target_NT[rows]
                target_logit_nT = logits_nTV.gather(-1, target_nT.clamp(min=0)[..., None])[..., 0]
                log_p_nT = (target_logit_nT - logits_nTV.logsumexp(-1)).double()
                log_w.append((log_p_nT * (target_nT >= 0)).sum(1).cpu())
                first.append(logits_nTV[torch.arange(len(logits_nTV), device=device), first_N[rows]])
        self.logits_NV = torch.cat(first)
        self.num_cached_N = [
            num_cached + len(pending) for num_cached, pending in zip(self.num_cached_N, self.pending, strict=True)
        ]
        self.pending = []
        return torch.cat(log_w)

    def answers(self, noise: Tensor) -> list[list[int]]:
        """Sample up to the answer budget after the closer, which `score` has run if it was called."""
        if self.pending:
            self.score([[]] * self.rows)
        return self._sample((self.ids.end,), (), self.config.answer_budget, noise, score_norms=False).tokens

    def _blocks(self, width: int, end: int) -> list[slice]:
        """Split all rows into blocks small enough for one forward pass: whole groups, or parts of one group."""
        heads, vocabulary = self.model.config.get_text_config().num_attention_heads, self.logits_NV.shape[1]
        scores = heads * (int(self.cache.length_B.max()) + end)
        size = max(1, LOGITS_AT_ONCE // (width * max(vocabulary, scores)))
        samples = self.config.samples
        if size >= samples:
            size = size // samples * samples
            return [slice(first, min(first + size, self.rows)) for first in range(0, self.rows, size)]
        return [
            slice(group + first, group + min(first + size, samples))
            for group in range(0, self.rows, samples)
            for first in range(0, samples, size)
        ]

    def _sample(
        self, stop: tuple[int, ...], ends: tuple[int, ...], budget: int, uniform_Nt: Tensor, *, score_norms: bool
    ) -> Rationales:
        """Sample tokens for each row until the tokens of `stop`, one token of `ends`, or the budget.

        A row's tokens depend on its own uniform numbers only, not on other rows: neither on when they end nor on which
        of them are still in the batch.
        """
        device, rows = self.logits_NV.device, self.rows
        token_Nt = torch.zeros(rows, budget, dtype=torch.long, device=device)
        log_p_Nt = torch.zeros(rows, budget, device=device)
        length_N = torch.full((rows,), budget, device=device)
        norm_sq_N = torch.zeros(rows, dtype=torch.float64, device=device)
        closed_N, ended_N = (torch.zeros(rows, dtype=torch.bool, device=device) for _ in range(2))
        stop_L, end_E = torch.tensor(stop, device=device), torch.tensor(ends, dtype=torch.long, device=device)
        order_N = torch.arange(rows, device=device)  # rows in the order of the cache; the first n are in the batch
        row_n, open_n, logits_nV = order_N, torch.ones(rows, dtype=torch.bool, device=device), self.logits_NV
        position = 0
        base = 0 if not any(self.num_cached_N) else torch.tensor(self.num_cached_N, device=device)
        with cache_attention(self.model, self.cache):
            for position in range(budget):
                log_p_nV = logits_nV.log_softmax(-1)
                token_n = draw(sampling_probabilities(logits_nV, self.config), uniform_Nt[row_n, position])
                log_p_n = log_p_nV.gather(1, token_n[:, None])[:, 0]
                token_Nt[row_n, position], log_p_Nt[row_n, position] = token_n, log_p_n
                if score_norms:
                    p_nV = log_p_nV.exp()
                    # ||e_token - p||^2
                    norm_sq_n = 1 - 2 * log_p_n.exp() + p_nV.square().sum(1)
                    norm_sq_N[row_n] += (norm_sq_n * open_n).double()
                # Tokens that an ended row samples until it leaves the batch are ignored.
                stops_n = torch.zeros_like(open_n)
                if position + 1 >= len(stop):
                    stops_n = open_n & (token_Nt[row_n, position + 1 - len(stop) : position + 1] == stop_L).all(1)
                closed_N[row_n[stops_n]] = True
                if ends:
                    ends_n = open_n & ~stops_n & torch.isin(token_n, end_E)
                    ended_N[row_n[ends_n]] = True
                    stops_n = stops_n | ends_n
                length_N[row_n[stops_n]] = position + 1
                open_n = open_n & ~stops_n
                num_open = int(open_n.sum())
                if num_open == 0 or position + 1 == budget:
                    break
                end = position + max(self.num_cached_N) + 1
                if num_open <= (1 - LEAVE) * len(open_n):
                    index_n = torch.cat([open_n.nonzero()[:, 0], (~open_n).nonzero()[:, 0]])
                    self.cache.reorder(index_n, num_open, end - 1)
                    order_N[: len(index_n)] = order_N[: len(index_n)][index_n]
                    row_n, token_n, open_n = order_N[:num_open], token_n[index_n[:num_open]], open_n[index_n[:num_open]]
                start = base + position if isinstance(base, int) else base[row_n] + position
                logits_nV = self.cache.extend(token_n[:, None], start, end, slice(0, len(row_n)))[:, -1]
                _check_finite(logits_nV)
            self.cache.reorder(order_N.argsort(), rows, position + max(self.num_cached_N))
        tokens, log_p = (
            [row[:length] for row, length in zip(x_Nt.tolist(), length_N.tolist(), strict=True)]
            for x_Nt in (token_Nt, log_p_Nt)
        )
        return Rationales(
            tokens,
            log_p,
            ~closed_N.cpu(),
            norm_sq_N.cpu() if score_norms else None,
            ended_N.cpu() if ends else None,
        )


def _check_finite(logits: Tensor) -> None:
    """Check the smallest and largest logit, which are NaN if any logit is: cheaper than checking each of them.

    Raises:
        Diverged: A logit is not finite.
    """
    if not torch.stack([logits.amin(), logits.amax()]).isfinite().all():
        raise Diverged("the model's logits are not finite: its weights have diverged; lower the learning rate")
