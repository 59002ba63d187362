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
    rows = whole_rows(ids, prompts, rationales, forced, answers, model.device)
    # Nothing before the end of the shortest prompt is scored.
    start = min(map(len, prompts))
    log_p_NT, part_NT = token_log_probs(model, rows, start), rows.part_NT[:, start:]
    return RowLogProbs((log_p_NT * (part_NT == RATIONALE)).sum(1), (log_p_NT * (part_NT == ANSWER)).sum(1))


def token_log_probs(model: PreTrainedModel, rows: Rows, start: int) -> Tensor:
    """Log p of every token from column `start` on given those before it, in nats, (N, T - start), differentiable."""
    tokens_NT = rows.tokens_NT
    logits_NTV = model(input_ids=tokens_NT, use_cache=False, logits_to_keep=tokens_NT.shape[1] - start + 1).logits
    return logits_NTV[:, :-1].float().log_softmax(-1).gather(-1, tokens_NT[:, start:, None])[..., 0]
