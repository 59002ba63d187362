"""Rows laid one behind the other in one sequence, and which of its tokens see which."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from qtrain.forward.rows import IGNORED, PackedRow

WIDTH = 64
"""Segments whose lengths differ by less go into one rectangle: fewer calls, little padding."""


class Segments(NamedTuple):
    """Ragged stretches of a sequence as the rows of a few rectangles, whose cells lie one behind the other.

    Attributes:
        shapes: Rows and columns of each rectangle.
        take_C: The token in each cell; what is beyond a stretch's end holds its last token.
        token_K: The tokens that are in a stretch, in their order in the sequence.
        cell_K: The cell of each.
    """

    shapes: list[tuple[int, int]]
    take_C: Tensor
    token_K: Tensor
    cell_K: Tensor


@dataclass(frozen=True, eq=False)
class AttentionLayout:
    """Which tokens see which. Prompts come first, then what is fed of the rows; every stretch sees itself causally.

    Attributes:
        prompt_tokens: How many of the tokens belong to prompts, 0 where the prompts were run before.
        own: All stretches.
        queries: For each prompt the tokens behind it; they see all of the prompt.
        keys: These prompts, in the same rectangles, as places among the prompt tokens. None without any.
        masks: For each rectangle 0 where a key is one of the prompt, else -inf, (rows, 1, 1, columns); None where
            all are.
        stretch_T: The stretch that a token is in.
        place_T: Its place in there.
        prompt_T2: The first and the one behind the last of the prompt tokens that it sees besides, (T, 2).
    """

    prompt_tokens: int
    own: Segments
    queries: Segments
    keys: Segments | None
    masks: list[Tensor | None]
    stretch_T: Tensor
    place_T: Tensor
    prompt_T2: Tensor


class PackedBatch(NamedTuple):
    """One pass. Each token that is fed of a row has the row's next token to predict.

    Attributes:
        tokens_1T: Prompts without their last token; then of each row the prompt's last token and the row's tokens but
            the last.
        position_1T: The place of each in its own row.
        pattern: Which see which.
        scored_K: The places in the sequence that predict a token of a rationale or an answer.
        target_K: That token.
        part_K: What it belongs to.
        row_K: The index of its row.
    """

    tokens_1T: Tensor
    position_1T: Tensor
    pattern: AttentionLayout
    scored_K: Tensor
    target_K: Tensor
    part_K: Tensor
    row_K: Tensor


def pack(
    prompts: Sequence[list[int]],
    rows: Sequence[PackedRow],
    which: Sequence[int],
    device: torch.device,
    *,
    prompts_before: bool = False,
) -> PackedBatch:
    """Lay out one pass.

    Args:
        prompts: As token ids, each of at least one.
        rows: Of the batch.
        which: Indices of the rows of this pass; all of a prompt's stand together.
        device: Where the tensors shall lie.
        prompts_before: Whether the rows' one prompt was run before, by `pack_prompt`.
    """
    order = list(dict.fromkeys(rows[index].prompt for index in which))
    shared = {prompt: len(prompts[prompt]) - 1 for prompt in order}
    begins = dict(zip(order, np.cumsum([0, *shared.values()])[:-1].tolist(), strict=True))
    tokens = [] if prompts_before else [token for prompt in order for token in prompts[prompt][:-1]]
    first = len(tokens)
    lengths = np.array([len(rows[index].tokens) for index in which])
    before = np.array([shared[rows[index].prompt] for index in which])
    for index in which:
        tokens += [prompts[rows[index].prompt][-1], *rows[index].tokens[:-1]]
    prompt_lengths = np.array([] if prompts_before else [length for length in shared.values() if length], dtype=int)
    stretches = np.concatenate([prompt_lengths, lengths])
    place_T = np.arange(len(tokens)) - np.repeat(np.cumsum(stretches) - stretches, stretches)
    position_T = place_T.copy()
    position_T[first:] += np.repeat(before, lengths)
    part_T = np.array([part for index in which for part in rows[index].parts])
    scored = np.flatnonzero(part_T != IGNORED)
    target_T = np.array([token for index in which for token in rows[index].tokens])

    def tensor(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(device)

    return PackedBatch(
        torch.tensor([tokens], device=device),
        tensor(position_T)[None],
        _pattern(first, stretches, place_T, _seen(rows, which, order, shared, begins, first), device),
        tensor(scored + first),
        tensor(target_T[scored]),
        tensor(part_T[scored]),
        tensor(np.repeat(np.asarray(which), lengths)[scored]),
    )


def pack_prompt(prompt: list[int], device: torch.device) -> PackedBatch:
    """Lay out a pass of one prompt alone, without its last token, of which nothing is scored."""
    place_T, none = np.arange(len(prompt) - 1), np.zeros(0, dtype=int)
    nothing = torch.zeros(0, dtype=torch.int64, device=device)
    pattern = _pattern(len(place_T), np.array([len(place_T)]), place_T, (none, none, none, none), device)
    tokens_1T = torch.tensor([prompt[:-1]], device=device)
    return PackedBatch(
        tokens_1T, torch.arange(len(place_T), device=device)[None], pattern, nothing, nothing, nothing, nothing
    )


def _seen(
    rows: Sequence[PackedRow], which: Sequence[int], order: list[int], shared: dict, begins: dict, first: int
) -> tuple[np.ndarray, ...]:
    """Of each prompt with shared tokens: where its rows begin, their tokens, where the prompt begins, its tokens."""
    behind = dict.fromkeys(order, 0)
    for index in which:
        behind[rows[index].prompt] += len(rows[index].tokens)
    starts = np.cumsum([first, *behind.values()])[:-1].tolist()
    kept = [item for item, prompt in enumerate(order) if shared[prompt]]
    return tuple(
        np.array([column[item] for item in kept], dtype=int)
        for column in (starts, list(behind.values()), list(begins.values()), list(shared.values()))
    )


def _pattern(
    prompt_tokens: int,
    stretches: np.ndarray,
    place_T: np.ndarray,
    seen: tuple[np.ndarray, ...],
    device: torch.device,
) -> AttentionLayout:
    query_starts, query_counts, key_starts, key_counts = seen
    own = _rectangles(np.cumsum(stretches) - stretches, stretches, _alike(stretches), device)
    prompt_T2 = np.zeros((len(place_T), 2), dtype=int)
    for query, count, key, keys in zip(query_starts, query_counts, key_starts, key_counts, strict=True):
        prompt_T2[query : query + count] = key, key + keys
    together = _alike(key_counts, query_counts // 4)
    queries = _rectangles(query_starts, query_counts, together, device)
    keys = _rectangles(key_starts, key_counts, together, device) if len(key_counts) else None
    masks: list[Tensor | None] = []
    for items in together:
        counts = torch.from_numpy(key_counts[items]).to(device)
        width = int(counts.max())
        beyond = torch.arange(width, device=device) >= counts[:, None]
        ragged = bool(beyond.any())
        masks.append(torch.zeros(beyond.shape, device=device).masked_fill(beyond, -torch.inf)[:, None, None])
        masks[-1] = masks[-1] if ragged else None
    stretch_T = torch.from_numpy(np.repeat(np.arange(len(stretches)), stretches)).to(device)
    return AttentionLayout(
        prompt_tokens,
        own,
        queries,
        keys,
        masks,
        stretch_T,
        torch.from_numpy(place_T).to(device),
        torch.from_numpy(prompt_T2).to(device),
    )


def _alike(*lengths: np.ndarray) -> list[np.ndarray]:
    """Indices of stretches of nearly the same length."""
    if not len(lengths[0]):
        return []
    keys = np.stack([-(-length // WIDTH) for length in lengths])
    kinds, kind = np.unique(keys, axis=1, return_inverse=True)
    return [np.flatnonzero(kind == one) for one in range(kinds.shape[1])]


def _rectangles(starts: np.ndarray, lengths: np.ndarray, together: list[np.ndarray], device: torch.device) -> Segments:
    shapes, take, cell, token, done = [], [], [], [], 0
    for items in together:
        width = int(lengths[items].max())
        column = np.arange(width)
        took = (starts[items, None] + np.minimum(column, lengths[items, None] - 1)).flatten()
        inside = np.flatnonzero(column < lengths[items, None])
        shapes.append((len(items), width))
        take.append(took)
        cell.append(inside + done)
        token.append(took[inside])
        done += len(took)
    take_C, cell_K, token_K = (np.concatenate(each or [starts[:0]]) for each in (take, cell, token))
    order = np.argsort(token_K)
    return Segments(shapes, *(torch.from_numpy(each).to(device) for each in (take_C, token_K[order], cell_K[order])))
