"""Choose a model's cache for rollouts: keys of prompts shared by their rows if that is right, else its own cache."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import PreTrainedModel

from qtrain.errors import UserError
from qtrain.forward.support import TOLERANCE, Trial, partial_attention, run_alone
from qtrain.rollout.own_cache import OwnCache
from qtrain.rollout.shared_prompt import SharedPromptCache, shared_prompt_attention

_shares: WeakKeyDictionary[PreTrainedModel, bool] = WeakKeyDictionary()
"""Whether rows share their prompt's keys, of each model that has been tried."""


def shares_prompts(model: PreTrainedModel) -> bool:
    """Return whether a model's rollouts can use a `SharedPromptCache`, by a trial at the first call.

    Raises:
        UserError: Neither cache gives the log-probabilities of the model's own forward pass.
    """
    if model not in _shares:
        with torch.no_grad(), torch.autocast(model.device.type, enabled=False):
            trial = run_alone(model)
            if not trial.log_p_K.isfinite().all():
                # The weights have diverged, which the caller reports, and tell nothing about the model.
                return partial_attention(model) is None
            is_shared = partial_attention(model) is None and _is_right(model, trial, SharedPromptCache)
            if not is_shared and not _is_right(model, trial, OwnCache):
                raise UserError(
                    f"{type(model).__name__}: its KV cache gives other log-probabilities than its forward pass, so "
                    "that rollouts would not be the model's; use rollout.engine=vllm"
                )
            _shares[model] = is_shared
    return _shares[model]


def make_cache(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], samples: int, pad: int, temperature: float = 1.0
) -> SharedPromptCache | OwnCache:
    """Make the model's cache; arguments as in `SharedPromptCache`."""
    if not shares_prompts(model):
        return OwnCache(model, prompts, samples, pad, temperature)
    with shared_prompt_attention(model):
        return SharedPromptCache(model, prompts, samples, pad, temperature)


def cache_attention(model: PreTrainedModel, cache: SharedPromptCache | OwnCache) -> AbstractContextManager[None]:
    """Return the context in which this cache of the model is extended."""
    return shared_prompt_attention(model) if isinstance(cache, SharedPromptCache) else nullcontext()


def _is_right(model: PreTrainedModel, trial: Trial, kind: type[SharedPromptCache | OwnCache]) -> bool:
    """Compare a cache with the model's own forward pass: rows scored at once, and the same rows token by token."""
    samples = len(trial.rows) // len(trial.prompts)
    attention = shared_prompt_attention(model) if kind is SharedPromptCache else nullcontext()
    tokens = [row.tokens for row in trial.rows]
    width = max(map(len, tokens))
    tokens_NT = torch.tensor([row + [0] * (width - len(row)) for row in tokens], device=model.device)
    rows = slice(0, len(tokens))
    try:
        with attention:
            whole = kind(model, trial.prompts, samples, 0)
            whole_NTV = whole.extend(tokens_NT, 0, width, rows)
            stepwise = kind(model, trial.prompts, samples, 0)
            steps = [stepwise.extend(tokens_NT[:, [step]], step, step + 1, rows) for step in range(width)]
    except (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, UserError, ValueError):
        return False
    first_N1V = stepwise.logits_BV.repeat_interleave(samples, 0)[:, None]
    return all(
        torch.allclose(_log_p(torch.cat([first_N1V, logits_NTV], 1), tokens), trial.log_p_K, rtol=0, atol=TOLERANCE)
        for logits_NTV in (whole_NTV, torch.cat(steps, 1))
    )


def _log_p(logits_NTV: Tensor, tokens: Sequence[list[int]]) -> Tensor:
    """Return log p of each row's tokens, row by row."""
    log_p_NTV = logits_NTV.log_softmax(-1)
    return torch.stack(
        [log_p_NTV[row, step, token] for row, line in enumerate(tokens) for step, token in enumerate(line)]
    )
