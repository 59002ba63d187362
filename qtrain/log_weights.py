"""Log-probabilities with gradient: log p(z|x) and log p(y|x, z) of finished rows, from one forward pass."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from qtrain.model import TokenIds


class RowLogProbs(NamedTuple):
    """Log-probabilities in nats, one a row, differentiable.

    Attributes:
        rationale_N: log p(z|x), over the tokens that the model chose: a forced END_THINK has no term.
        answer_N: log p(y|x, z).
    """

    rationale_N: Tensor
    answer_N: Tensor


class Rows(NamedTuple):
    """N whole rows, padded on the right: causal attention never looks there, so no mask is needed.

    Attributes:
        tokens_NT: Prompt, rationale, END_THINK, answer.
        part_NT: What a token belongs to: RATIONALE, ANSWER, or NEITHER (prompt, forced END_THINK, padding).
    """

    tokens_NT: Tensor
    part_NT: Tensor


NEITHER, RATIONALE, ANSWER = 0, 1, 2


def whole_rows(
    ids: TokenIds,
    prompts: Sequence[list[int]],
    rationales: Sequence[list[int]],
    forced: Sequence[bool],
    answers: Sequence[list[int]],
    device: torch.device,
) -> Rows:
    """Lay N rows out.

    Args:
        ids: Special tokens.
        prompts: N prompts as token ids.
        rationales: N rationales, END_THINK included where it was sampled.
        forced: N flags: END_THINK is put there and belongs to neither part.
        answers: N answers, END included.
        device: Where the tensors shall lie.
    """
    tokens, parts = [], []
    for prompt, rationale, force, answer in zip(prompts, rationales, forced, answers, strict=True):
        tokens.append(prompt + rationale + [ids.end_think] * force + answer)
        parts.append(
            [NEITHER] * (len(prompt)) + [RATIONALE] * len(rationale) + [NEITHER] * force + [ANSWER] * len(answer)
        )
    width = max(map(len, tokens))
    return Rows(
        torch.tensor([row + [ids.pad] * (width - len(row)) for row in tokens], device=device),
        torch.tensor([part + [NEITHER] * (width - len(part)) for part in parts], device=device),
    )


def row_log_probs(
    model: PreTrainedModel,
    ids: TokenIds,
    prompts: Sequence[list[int]],
    rationales: Sequence[list[int]],
    forced: Sequence[bool],
    answers: Sequence[list[int]],
) -> RowLogProbs:
    """Run N rows through the model once; arguments as in `whole_rows`."""
    tokens_NT, part_NT = whole_rows(ids, prompts, rationales, forced, answers, model.device)
    # Logits from the last token of the shortest prompt on: nothing before it is scored.
    start = min(map(len, prompts))
    logits_NTV = model(input_ids=tokens_NT, use_cache=False, logits_to_keep=tokens_NT.shape[1] - start + 1).logits
    target_NT, part_NT = tokens_NT[:, start:], part_NT[:, start:]
    log_p_NT = logits_NTV[:, :-1].float().log_softmax(-1).gather(-1, target_NT[..., None])[..., 0]
    return RowLogProbs((log_p_NT * (part_NT == RATIONALE)).sum(1), (log_p_NT * (part_NT == ANSWER)).sum(1))
