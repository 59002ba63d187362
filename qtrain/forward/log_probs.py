"""Log-probabilities of finished rows: log p(z|x) and log p(y|x, z), without gradient, and with one for pre-training."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from qtrain.forward.attention import packed
from qtrain.forward.head import log_probs, output_matrix
from qtrain.forward.passes import passes
from qtrain.forward.rows import ANSWER, IGNORED, RATIONALE, PackedRow, make_row
from qtrain.policy.device import Dtype
from qtrain.policy.model import TokenIds


class RowLogProbs(NamedTuple):
    """Log-probabilities in nats, one a row.

    Attributes:
        rationale_N: log p(z|x), over the tokens that the model chose: a forced END_THINK has no term.
        answer_N: log p(y|x, z).
    """

    rationale_N: Tensor
    answer_N: Tensor


class TokenLogProbs(NamedTuple):
    """Log-probabilities of single tokens in nats, on the CPU, those of a row in order.

    Attributes:
        log_p_K: float64.
        part_K: RATIONALE or ANSWER.
        row_K: The row's index.
    """

    log_p_K: Tensor
    part_K: Tensor
    row_K: Tensor

    @classmethod
    def joined(cls, parts: Sequence["TokenLogProbs"]) -> "TokenLogProbs":
        """Those of several passes."""
        if not parts:
            return cls(torch.zeros(0, dtype=torch.float64), *[torch.zeros(0, dtype=torch.int64)] * 2)
        return cls(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def of_rationales(self) -> "TokenLogProbs":
        """Those of the rationales' tokens alone."""
        kept = self.part_K == RATIONALE
        return TokenLogProbs(*(column[kept] for column in self))

    def by_row(self, rows: int) -> RowLogProbs:
        """Their sums, float64, for so many rows."""
        zeros = torch.zeros(rows, dtype=torch.float64)
        rationale_N, answer_N = (
            zeros.index_add(0, self.row_K, self.log_p_K * (self.part_K == part)) for part in (RATIONALE, ANSWER)
        )
        return RowLogProbs(rationale_N, answer_N)


@torch.no_grad()
def token_log_probs(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    rows: Sequence[PackedRow],
    *,
    limit: int | None = None,
    dtype: Dtype = "float32",
) -> TokenLogProbs:
    """Score rows without gradient; arguments as in `qtrain.forward.passes`."""
    head, found = output_matrix(model), list[TokenLogProbs]()
    with packed(model):
        for one, states_KD in passes(model, prompts, rows, limit=limit, dtype=dtype):
            log_p_K = log_probs(head, states_KD, one.target_K)
            found.append(TokenLogProbs(log_p_K.double().cpu(), one.part_K.cpu(), one.row_K.cpu()))
    return TokenLogProbs.joined(found)


class Rows(NamedTuple):
    """N whole rows, padded on the right: causal attention never looks there, so no mask is needed.

    Attributes:
        tokens_NT: Prompt, rationale, END_THINK, answer.
        part_NT: What a token belongs to: RATIONALE, ANSWER, or IGNORED (prompt, forced END_THINK, padding).
    """

    tokens_NT: Tensor
    part_NT: Tensor


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
        row = make_row(ids.end_think, 0, rationale, answer, forced=force)
        tokens.append(prompt + row.tokens)
        parts.append([IGNORED] * len(prompt) + row.parts)
    width = max(map(len, tokens))
    return Rows(
        torch.tensor([row + [ids.pad] * (width - len(row)) for row in tokens], device=device),
        torch.tensor([part + [IGNORED] * (width - len(part)) for part in parts], device=device),
    )


def row_log_probs(
    model: PreTrainedModel,
    ids: TokenIds,
    prompts: Sequence[list[int]],
    rationales: Sequence[list[int]],
    forced: Sequence[bool],
    answers: Sequence[list[int]],
) -> RowLogProbs:
    """Run N rows through the model once, differentiably, for pre-training, whose rows share no prompts.

    Arguments as in `whole_rows`.
    """
    rows = whole_rows(ids, prompts, rationales, forced, answers, model.device)
    # Nothing before the end of the shortest prompt is scored.
    start = min(map(len, prompts))
    tokens_NT, part_NT = rows.tokens_NT, rows.part_NT[:, start:]
    logits_NTV = model(input_ids=tokens_NT, use_cache=False, logits_to_keep=tokens_NT.shape[1] - start + 1).logits
    log_p_NT = logits_NTV[:, :-1].float().log_softmax(-1).gather(-1, tokens_NT[:, start:, None])[..., 0]
    return RowLogProbs((log_p_NT * (part_NT == RATIONALE)).sum(1), (log_p_NT * (part_NT == ANSWER)).sum(1))
