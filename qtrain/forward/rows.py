"""Rows of a batch, and their division into micro-batches of a bounded and balanced number of tokens."""

from collections.abc import Sequence
from typing import NamedTuple

from qtrain.policy.model import TokenIds

IGNORED, RATIONALE, ANSWER = 0, 1, 2
"""The part that a token belongs to. Prompts, padding and unscored forced closers are IGNORED."""


class PackedRow(NamedTuple):
    """The tokens that follow a prompt in one sample.

    Attributes:
        prompt: Index of the prompt.
        tokens: Rationale, closer, answer.
        parts: The part of each of these tokens: RATIONALE, ANSWER or IGNORED.
    """

    prompt: int
    tokens: list[int]
    parts: list[int]


class MicroBatchPlan(NamedTuple):
    """Micro-batches that share their prompts' forward pass.

    Attributes:
        micro_batches: Indices of the rows of each. A single micro-batch contains its prompts. Several micro-batches
            have rows of the same prompt, which is run before them, by itself.
    """

    micro_batches: list[list[int]]


def forced_closer(ids: TokenIds, rationale: Sequence[int]) -> list[int]:
    """Return the tokens that close a rationale which the model has not closed.

    If the rationale ends with the first tokens of the closer, they are not repeated. This is also the case if the
    closer begins with a token that ends the model's turn.
    """
    closer = list(ids.closer)
    for size in range(min(len(closer) - 1, len(rationale)), 0, -1):
        if list(rationale[-size:]) == closer[:size]:
            return closer[size:]
    return closer


def make_row(ids: TokenIds, prompt: int, rationale: list[int], answer: list[int], *, truncated: bool) -> PackedRow:
    """Make a row. A truncated rationale gets a forced closer: of the answer if it is scored, otherwise of no part."""
    closer = forced_closer(ids, rationale) if truncated else []
    parts = (
        [RATIONALE] * len(rationale) + [ANSWER if ids.score_closer else IGNORED] * len(closer) + [ANSWER] * len(answer)
    )
    return PackedRow(prompt, [*rationale, *closer, *answer], parts)


def divide(sizes: Sequence[int], max_size: int) -> list[list[int]]:
    """Divide items among bins of at most `max_size`, as few and as equal as a greedy fill gets them.

    Args:
        sizes: Size of each item. An item larger than `max_size` gets a bin by itself.
        max_size: Size of a bin.

    Returns:
        The indices of each bin's items, in ascending order.
    """
    largest_first = sorted(range(len(sizes)), key=lambda item: -sizes[item])
    for count in range(min(len(sizes), max(1, -(-sum(sizes) // max_size))), len(sizes) + 1):
        bins: list[list[int]] = [[] for _ in range(count)]
        loads = [0] * count
        for item in largest_first:
            least = loads.index(min(loads))
            bins[least].append(item)
            loads[least] += sizes[item]
        if all(load <= max_size or len(items) == 1 for load, items in zip(loads, bins, strict=True)):
            return [sorted(items) for items in bins if items]
    return []


def plan_micro_batches(
    prompts: Sequence[Sequence[int]], rows: Sequence[PackedRow], max_tokens: int | None
) -> list[MicroBatchPlan]:
    """Divide rows among micro-batches so that every prompt is run once.

    All rows of a prompt go into the same micro-batch if they fit. If they do not, the prompt is run in a forward pass
    by itself, and several micro-batches of its rows follow.

    Args:
        prompts: Token ids of each prompt.
        rows: The rows that follow them. Rows without tokens are left out.
        max_tokens: Most tokens in memory at once; None puts all rows into one micro-batch. A longer prompt or row gets
            a micro-batch by itself. If a prompt takes more than half of the tokens, its rows still get half.
    """
    groups: dict[int, list[int]] = {}
    for index, row in enumerate(rows):
        if row.tokens:
            groups.setdefault(row.prompt, []).append(index)
    if max_tokens is None:
        return [MicroBatchPlan([[index for group in groups.values() for index in group]])] if groups else []
    whole_groups, split_groups = [], []
    for prompt, group in groups.items():
        lengths = [len(rows[index].tokens) for index in group]
        if len(prompts[prompt]) + sum(lengths) <= max_tokens or len(group) == 1:
            whole_groups.append((group, len(prompts[prompt]) + sum(lengths)))
        else:
            # The activations of the prompt's forward pass stay in memory while its rows run.
            row_tokens = max(max_tokens - len(prompts[prompt]), -(-max_tokens // 2))
            bins = divide(lengths, row_tokens)
            split_groups.append(MicroBatchPlan([[group[item] for item in items] for items in bins]))
    bins = divide([size for _, size in whole_groups], max_tokens)
    together = [MicroBatchPlan([[index for item in items for index in whole_groups[item][0]]]) for items in bins]
    return together + split_groups
