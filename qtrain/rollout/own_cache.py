"""A stand-in for `SharedPromptCache` that runs a model with its own attention and its own KV cache.

It is for models whose attention cannot share a prompt's keys, such as sliding windows. Contexts are padded on the left.
As long as all rows grow by one token a step, the model's own cache is extended, as in transformers' `generate`. If rows
are scored, or continue from another place, they are run again from their start. This is slower and takes more memory.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, PreTrainedModel

from qtrain.forward.plain import accepts


class OwnCache:
    """Tokens of N = B * M rows, prompt-major until `reorder`, and the model's own KV cache of the rows in use.

    Args:
        model: The model, which runs the prompts (prefill) immediately.
        prompts: B prompts as token ids.
        samples: Number of rows per prompt, M.
        pad: Id of the padding token.
        temperature: Of the policy; divides all logits that the cache returns.

    Attributes:
        logits_BV: Logits of the first token after each prompt.
        length_B: Lengths of the prompts.
        max_columns: As in `SharedPromptCache`; not used, since the model's cache grows by itself.
    """

    def __init__(
        self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], samples: int, pad: int, temperature: float = 1.0
    ) -> None:
        self.model, self.max_columns, self._pad, self._temperature = model, 2**62, pad, temperature
        self.length_B = torch.tensor([len(prompt) for prompt in prompts], device=model.device)
        self._prompts = [list(prompt) for prompt in prompts for _ in range(samples)]
        self._tokens: list[list[int]] = [[] for _ in self._prompts]
        self._cache: Cache | None = None
        self._name = "cache" if accepts(model, "cache") else "past_key_values"
        """Name of the cache in the model's arguments and outputs, which version 5 of transformers changes."""
        self._mask_NS = torch.zeros(0)
        self._num_cached: list[int] = []
        """Number of tokens after its prompt that each row in the model's cache has there."""
        self.logits_BV = self._prefill([list(prompt) for prompt in prompts], 1, keep=True)[:, -1]
        if self._cache is not None:
            self._cache.batch_repeat_interleave(samples)
            self._mask_NS = self._mask_NS.repeat_interleave(samples, 0)
            self._num_cached = [0] * len(self._prompts)

    def extend(self, tokens_NT: Tensor, start: int | Tensor, end: int, rows: slice) -> Tensor:
        """Run the model on further tokens of some rows; arguments and result as in `SharedPromptCache.extend`."""
        del end
        count, width = tokens_NT.shape
        starts = [start] * count if isinstance(start, int) else start.tolist()
        for row, first, new in zip(range(rows.start, rows.stop), starts, tokens_NT.tolist(), strict=True):
            self._tokens[row] = self._tokens[row][:first] + new
        is_step = width == 1 and rows.start == 0
        if is_step and self._cache is not None and starts == self._num_cached:
            return self._step(tokens_NT)
        contexts = [self._prompts[row] + self._tokens[row] for row in range(rows.start, rows.stop)]
        logits_NTV = self._prefill(contexts, width, keep=is_step)
        if is_step:
            self._num_cached = [first + 1 for first in starts]
        return logits_NTV

    def reserve(self, columns: int) -> None:
        """Do nothing, since the model's cache grows by itself."""

    def reorder(self, order_n: Tensor, rows: int, end: int) -> None:
        """Permute the first rows and prepare to extend some of them; arguments as in `SharedPromptCache.reorder`."""
        del end
        order = order_n.tolist()
        for column in (self._prompts, self._tokens):
            column[: len(order)] = [column[row] for row in order]
        if self._cache is None or len(order) != len(self._num_cached) or rows > len(order):
            self._cache = None
            return
        self._cache.batch_select_indices(order_n[:rows])
        self._mask_NS = self._mask_NS[order_n[:rows]]
        self._num_cached = [self._num_cached[row] for row in order[:rows]]

    def _prefill(self, contexts: list[list[int]], logits: int, *, keep: bool) -> Tensor:
        """Run whole contexts, and keep the model's cache of them if asked for.

        Returns:
            Logits at the last `logits` tokens, (N, logits, V), float32.
        """
        device, width = self.model.device, max(map(len, contexts))
        padding = [width - len(context) for context in contexts]
        tokens_NS = torch.tensor(
            [[self._pad] * count + context for count, context in zip(padding, contexts, strict=True)], device=device
        )
        mask_NS = (torch.arange(width, device=device) >= torch.tensor(padding, device=device)[:, None]).long()
        settings: dict[str, Any] = {"logits_to_keep": logits} if accepts(self.model, "logits_to_keep") else {}
        out = self._run(tokens_NS, mask_NS, use_cache=keep, **settings)
        if keep:
            self._cache, self._mask_NS = getattr(out, self._name), mask_NS
        return out.logits[:, -logits:].float() / self._temperature

    def _step(self, tokens_N1: Tensor) -> Tensor:
        """Extend each row in the model's cache by one token."""
        self._mask_NS = torch.nn.functional.pad(self._mask_NS, (0, 1), value=1)
        out = self._run(tokens_N1, self._mask_NS, use_cache=True, **{self._name: self._cache})
        self._num_cached = [count + 1 for count in self._num_cached]
        return out.logits.float() / self._temperature

    def _run(self, tokens_NT: Tensor, mask_NS: Tensor, **settings: Any) -> Any:
        if accepts(self.model, "position_ids"):
            settings["position_ids"] = (mask_NS.cumsum(1) - 1).clamp(min=0)[:, -tokens_NT.shape[1] :]
        return self.model(input_ids=tokens_NT, attention_mask=mask_NS, **settings)
