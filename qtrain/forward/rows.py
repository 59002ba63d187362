"""Rows of a batch, and their division into passes of at most so many tokens, balanced by tokens."""

from collections.abc import Sequence
from typing import NamedTuple

IGNORED, RATIONALE, ANSWER = 0, 1, 2
"""What a token belongs to. A prompt and a forced END_THINK belong to neither part."""


class PackedRow(NamedTuple):
    """What follows a prompt.

    Attributes:
        prompt: Index of the prompt.
        tokens: Rationale, END_THINK, answer.
        parts: What each of these tokens belongs to.
    """

    prompt: int
    tokens: list[int]
    parts: list[int]


class MicroBatchPlan(NamedTuple):
    """Rows that go through the model together.

    Attributes:
        passes: Indices of the rows of each pass. One pass has its prompts in it. Of several all rows are of one prompt,
            which is run first, by itself.
    """

    passes: list[list[int]]


def make_row(end_think: int, prompt: int, rationale: list[int], answer: list[int], *, forced: bool) -> PackedRow:
    """One row; a forced END_THINK is put between the two and belongs to neither."""
    tokens = [*rationale, *[end_think] * forced, *answer]
    return PackedRow(prompt, tokens, [RATIONALE] * len(rationale) + [IGNORED] * forced + [ANSWER] * len(answer))


def divide(sizes: Sequence[int], limit: int) -> list[list[int]]:
    """Put items into as few bins of nearly equal size as stay within the limit; an item above it has its own.

    Args:
        sizes: Of each item.
        limit: Of a bin.

    Returns:
        Indices of each bin's items, in order.
    """
    order = sorted(range(len(sizes)), key=lambda item: -sizes[item])
    for count in range(min(len(sizes), max(1, -(-sum(sizes) // limit))), len(sizes) + 1):
        bins: list[list[int]] = [[] for _ in range(count)]
        loads = [0] * count
        for item in order:
            least = loads.index(min(loads))
            bins[least].append(item)
            loads[least] += sizes[item]
        if all(load <= limit or len(one) == 1 for load, one in zip(loads, bins, strict=True)):
            return [sorted(one) for one in bins if one]
    return []


def plan(prompts: Sequence[Sequence[int]], rows: Sequence[PackedRow], limit: int | None) -> list[MicroBatchPlan]:
    """Divide rows into passes.

    Rows of one prompt stay in one pass where they fit, so that the prompt is run once. Where they do not, the prompt is
    run once too, in a pass of its own.

    Args:
        prompts: As token ids.
        rows: Behind them. Rows without tokens are left out.
        limit: Most tokens in memory at once, none for all in one pass. A prompt or a row that is longer has a pass of
            its own; beside a prompt that takes more than half, its rows have half.
    """
    groups: dict[int, list[int]] = {}
    for index, row in enumerate(rows):
        if row.tokens:
            groups.setdefault(row.prompt, []).append(index)
    if limit is None:
        return [MicroBatchPlan([[index for group in groups.values() for index in group]])] if groups else []
    whole, jobs = [], []
    for prompt, group in groups.items():
        lengths = [len(rows[index].tokens) for index in group]
        if len(prompts[prompt]) + sum(lengths) <= limit or len(group) == 1:
            whole.append((group, len(prompts[prompt]) + sum(lengths)))
        else:
            # What the prompt's pass keeps stays in memory during theirs.
            room = max(limit - len(prompts[prompt]), -(-limit // 2))
            jobs.append(MicroBatchPlan([[group[item] for item in one] for one in divide(lengths, room)]))
    together = [
        MicroBatchPlan([[index for item in one for index in whole[item][0]]])
        for one in divide([size for _, size in whole], limit)
    ]
    return together + jobs
