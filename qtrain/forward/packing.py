"""Pack the rows of a micro-batch into one sequence without padding, and describe its attention mask."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from qtrain.forward.rows import IGNORED, PackedRow

WIDTH = 64
"""Segments whose lengths differ by less than this share a rectangle: fewer kernel calls for little padding."""


class Segments(NamedTuple):
    """Segments of a sequence, arranged as the rows of a few padded rectangles.

    The cells of all rectangles are numbered in one order: rectangle by rectangle, row by row.

    Attributes:
        shapes: Rows and columns of each rectangle.
        take_C: The token in each cell; cells past the end of a segment hold the segment's last token.
        token_K: The tokens that are in a segment, in the order of the sequence.
        cell_K: The cell of each of these tokens.
    """

    shapes: list[tuple[int, int]]
    take_C: Tensor
    token_K: Tensor
    cell_K: Tensor


@dataclass(frozen=True, eq=False)
class AttentionLayout:
    """The attention mask of a packed sequence.

    The sequence consists of segments: first the prompts, then the rows. Each token attends causally within its segment;
    a row's token attends to all of its prompt as well.

    Attributes:
        prompt_tokens: Number of prompt tokens in the sequence; 0 if the prompt was run before.
        own: All segments.
        queries: One segment for each prompt: the tokens of all its rows, which attend to all of the prompt.
        keys: The segments of these prompts, in rectangles that match those of `queries`, as indices into the prompt
            tokens. None if there are no prompt tokens to attend to.
        masks: For each rectangle of `keys` the mask to add to the scores, 0 for a prompt's tokens and -inf for padding,
            (rows, 1, 1, columns); None if the rectangle has no padding.
        segment_T: Index of each token's segment.
        offset_T: Offset of each token within its segment.
        prompt_T2: Start and end (exclusive) of the prompt tokens that each token attends to as well, (T, 2).
    """

    prompt_tokens: int
    own: Segments
    queries: Segments
    keys: Segments | None
    masks: list[Tensor | None]
    segment_T: Tensor
    offset_T: Tensor
    prompt_T2: Tensor


class PackedBatch(NamedTuple):
    """A micro-batch as one sequence of T tokens, K of which predict a scored token.

    Attributes:
        tokens_1T: The prompts without their last token; then for each row the prompt's last token and the row's tokens
            except the last. Each token of a row's segment thus predicts the next token of the row.
        position_1T: Position of each token after the start of its prompt.
        layout: The attention mask.
        scored_K: Indices of the tokens that predict a token of a rationale or an answer.
        target_K: The predicted tokens.
        part_K: RATIONALE or ANSWER, of the predicted tokens.
        row_K: Index of the row of each.
    """

    tokens_1T: Tensor
    position_1T: Tensor
    layout: AttentionLayout
    scored_K: Tensor
    target_K: Tensor
    part_K: Tensor
    row_K: Tensor


def pack(
    prompts: Sequence[list[int]],
    rows: Sequence[PackedRow],
    indices: Sequence[int],
    device: torch.device,
    *,
    with_prompts: bool = True,
) -> PackedBatch:
    """Pack a micro-batch.

    Args:
        prompts: Token ids of each prompt, at least one token each.
        rows: All rows of the batch.
        indices: The rows of this micro-batch; rows of the same prompt are adjacent.
        device: Device of the tensors.
        with_prompts: Whether the sequence contains the prompts. Otherwise the rows have one prompt in common, which was
            run before as `pack_prompt` gives it.
    """
    order = list(dict.fromkeys(rows[index].prompt for index in indices))
    shared = {prompt: len(prompts[prompt]) - 1 for prompt in order}
    prompt_starts = dict(zip(order, np.cumsum([0, *shared.values()])[:-1].tolist(), strict=True))
    tokens = [token for prompt in order for token in prompts[prompt][:-1]] if with_prompts else []
    first = len(tokens)
    lengths = np.array([len(rows[index].tokens) for index in indices])
    num_earlier = np.array([shared[rows[index].prompt] for index in indices])
    for index in indices:
        tokens += [prompts[rows[index].prompt][-1], *rows[index].tokens[:-1]]
    prompt_lengths = np.array([length for length in shared.values() if length] if with_prompts else [], dtype=int)
    segments = np.concatenate([prompt_lengths, lengths])
    offset_T = np.arange(len(tokens)) - np.repeat(np.cumsum(segments) - segments, segments)
    position_T = offset_T.copy()
    position_T[first:] += np.repeat(num_earlier, lengths)
    part_T = np.array([part for index in indices for part in rows[index].parts])
    scored = np.flatnonzero(part_T != IGNORED)
    target_T = np.array([token for index in indices for token in rows[index].tokens])

    def tensor(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(device)

    shared_spans = _shared_spans(rows, indices, order, shared, prompt_starts, first)
    return PackedBatch(
        torch.tensor([tokens], device=device),
        tensor(position_T)[None],
        _layout(first, segments, offset_T, shared_spans, device),
        tensor(scored + first),
        tensor(target_T[scored]),
        tensor(part_T[scored]),
        tensor(np.repeat(np.asarray(indices), lengths)[scored]),
    )


def pack_prompt(prompt: list[int], device: torch.device) -> PackedBatch:
    """Pack a prompt alone, without its last token; none of its tokens is scored."""
    offset_T, none = np.arange(len(prompt) - 1), np.zeros(0, dtype=int)
    empty = torch.zeros(0, dtype=torch.int64, device=device)
    layout = _layout(len(offset_T), np.array([len(offset_T)]), offset_T, (none, none, none, none), device)
    tokens_1T = torch.tensor([prompt[:-1]], device=device)
    return PackedBatch(tokens_1T, torch.arange(len(offset_T), device=device)[None], layout, empty, empty, empty, empty)


def _shared_spans(
    rows: Sequence[PackedRow], indices: Sequence[int], order: list[int], shared: dict, prompt_starts: dict, first: int
) -> tuple[np.ndarray, ...]:
    """For each prompt with shared tokens: start and length of its rows, start and length of the prompt."""
    row_tokens = dict.fromkeys(order, 0)
    for index in indices:
        row_tokens[rows[index].prompt] += len(rows[index].tokens)
    row_starts = np.cumsum([first, *row_tokens.values()])[:-1].tolist()
    with_shared = [item for item, prompt in enumerate(order) if shared[prompt]]
    return tuple(
        np.array([column[item] for item in with_shared], dtype=int)
        for column in (row_starts, list(row_tokens.values()), list(prompt_starts.values()), list(shared.values()))
    )


def _layout(
    prompt_tokens: int,
    segments: np.ndarray,
    offset_T: np.ndarray,
    shared_spans: tuple[np.ndarray, ...],
    device: torch.device,
) -> AttentionLayout:
    query_starts, query_counts, key_starts, key_counts = shared_spans
    own = _rectangles(np.cumsum(segments) - segments, segments, _similar_lengths(segments), device)
    prompt_T2 = np.zeros((len(offset_T), 2), dtype=int)
    for query, queries, key, keys in zip(query_starts, query_counts, key_starts, key_counts, strict=True):
        prompt_T2[query : query + queries] = key, key + keys
    together = _similar_lengths(key_counts, query_counts // 4)
    queries = _rectangles(query_starts, query_counts, together, device)
    keys = _rectangles(key_starts, key_counts, together, device) if len(key_counts) else None
    masks: list[Tensor | None] = []
    for items in together:
        counts = torch.from_numpy(key_counts[items]).to(device)
        padding = torch.arange(int(counts.max()), device=device) >= counts[:, None]
        mask = torch.zeros(padding.shape, device=device).masked_fill(padding, -torch.inf)[:, None, None]
        masks.append(mask if bool(padding.any()) else None)
    segment_T = torch.from_numpy(np.repeat(np.arange(len(segments)), segments)).to(device)
    return AttentionLayout(
        prompt_tokens,
        own,
        queries,
        keys,
        masks,
        segment_T,
        torch.from_numpy(offset_T).to(device),
        torch.from_numpy(prompt_T2).to(device),
    )


def _similar_lengths(*lengths: np.ndarray) -> list[np.ndarray]:
    """Group segments whose lengths, in every array given, round up to the same multiple of WIDTH; return indices."""
    if not len(lengths[0]):
        return []
    keys = np.stack([-(-length // WIDTH) for length in lengths])
    kinds, kind = np.unique(keys, axis=1, return_inverse=True)
    return [np.flatnonzero(kind == index) for index in range(kinds.shape[1])]


def _rectangles(starts: np.ndarray, lengths: np.ndarray, together: list[np.ndarray], device: torch.device) -> Segments:
    shapes, take, cell, token, num_cells = [], [], [], [], 0
    for items in together:
        width = int(lengths[items].max())
        column = np.arange(width)
        tokens = (starts[items, None] + np.minimum(column, lengths[items, None] - 1)).flatten()
        inside = np.flatnonzero(column < lengths[items, None])
        shapes.append((len(items), width))
        take.append(tokens)
        cell.append(inside + num_cells)
        token.append(tokens[inside])
        num_cells += len(tokens)
    take_C, cell_K, token_K = (np.concatenate(arrays or [starts[:0]]) for arrays in (take, cell, token))
    order = np.argsort(token_K)
    return Segments(shapes, *(torch.from_numpy(x).to(device) for x in (take_C, token_K[order], cell_K[order])))
