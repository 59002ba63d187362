"""Log-probabilities of finished rows, log p(z|x) and log p(y|x, z): by token without gradient, by row with gradient."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from qtrain.forward.head import log_probs
from qtrain.forward.rows import ANSWER, IGNORED, RATIONALE, PackedRow, make_row
from qtrain.forward.support import forward_pass
from qtrain.policy.device import Dtype
from qtrain.policy.model import TokenIds


class RowLogProbs(NamedTuple):
    """Log-probabilities of N rows in nats.

    Attributes:
        rationale_N: log p(z|x), over the tokens that the model chose: a forced closer has no term.
        answer_N: log p(y|x, z).
    """

    rationale_N: Tensor
    answer_N: Tensor


class TokenLogProbs(NamedTuple):
    """Log-probabilities of K tokens in nats, on the CPU. The tokens of each row are in order.

    Attributes:
        log_p_K: float64.
        part_K: RATIONALE or ANSWER.
        row_K: Index of the token's row.
    """

    log_p_K: Tensor
    part_K: Tensor
    row_K: Tensor

    @classmethod
    def joined(cls, parts: Sequence["TokenLogProbs"]) -> "TokenLogProbs":
        """Concatenate the log-probabilities of several micro-batches."""
        if not parts:
            return cls(torch.zeros(0, dtype=torch.float64), *[torch.zeros(0, dtype=torch.int64)] * 2)
        return cls(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def of_rationales(self) -> "TokenLogProbs":
        """Select the tokens of rationales."""
        is_rationale = self.part_K == RATIONALE
        return TokenLogProbs(*(column[is_rationale] for column in self))

    def by_row(self, rows: int) -> RowLogProbs:
        """Sum over the tokens of each of `rows` rows, in float64."""
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
    max_tokens: int | None = None,
    dtype: Dtype = "float32",
    temperature: float = 1.0,
) -> TokenLogProbs:
    """Score rows without gradient.

    The temperature divides the logits; other arguments as in `qtrain.forward.micro_batches.run_packed`.
    """
    chosen, parts = forward_pass(model), list[TokenLogProbs]()
    with chosen.attention():
        for batch, states_KD in chosen.run(prompts, rows, max_tokens=max_tokens, dtype=dtype):
            log_p_K = log_probs(chosen.head, states_KD, batch.target_K, temperature)
            parts.append(TokenLogProbs(log_p_K.double().cpu(), batch.part_K.cpu(), batch.row_K.cpu()))
    return TokenLogProbs.joined(parts)


class PaddedRows(NamedTuple):
    """N rows with their prompts, padded on the right.

    They need no attention mask, since causal attention never reaches the padding.

    Attributes:
        tokens_NT: Prompt, rationale, closer, answer.
        part_NT: RATIONALE, ANSWER, or IGNORED (prompt, forced closer, padding).
    """

    tokens_NT: Tensor
    part_NT: Tensor


def pad_rows(
    ids: TokenIds,
    prompts: Sequence[list[int]],
    rationales: Sequence[list[int]],
    truncated: Sequence[bool],
    answers: Sequence[list[int]],
    device: torch.device,
) -> PaddedRows:
    """Make N padded rows.

    Args:
        ids: Special tokens.
        prompts: N prompts as token ids.
        rationales: N rationales, including the closer if it was sampled.
        truncated: N flags: the closer is inserted and belongs to neither part.
        answers: N answers, END included.
        device: Device of the tensors.
    """
    tokens, parts = [], []
    for prompt, rationale, is_truncated, answer in zip(prompts, rationales, truncated, answers, strict=True):
        row = make_row(ids, 0, rationale, answer, truncated=is_truncated)
        tokens.append(prompt + row.tokens)
        parts.append([IGNORED] * len(prompt) + row.parts)
    width = max(map(len, tokens))
    return PaddedRows(
        torch.tensor([row + [ids.pad] * (width - len(row)) for row in tokens], device=device),
        torch.tensor([part + [IGNORED] * (width - len(part)) for part in parts], device=device),
    )


def row_log_probs(
    model: PreTrainedModel,
    ids: TokenIds,
    prompts: Sequence[list[int]],
    rationales: Sequence[list[int]],
    truncated: Sequence[bool],
    answers: Sequence[list[int]],
) -> RowLogProbs:
    """Run N rows through the model once, differentiably, for pre-training, whose rows share no prompts.

    Arguments as in `pad_rows`.
    """
    rows = pad_rows(ids, prompts, rationales, truncated, answers, model.device)
    # No token before the end of the shortest prompt is scored.
    start = min(map(len, prompts))
    tokens_NT, part_NT = rows.tokens_NT, rows.part_NT[:, start:]
    logits_NTV = model(input_ids=tokens_NT, use_cache=False, logits_to_keep=tokens_NT.shape[1] - start + 1).logits
    log_p_NT = logits_NTV[:, :-1].float().log_softmax(-1).gather(-1, tokens_NT[:, start:, None])[..., 0]
    return RowLogProbs((log_p_NT * (part_NT == RATIONALE)).sum(1), (log_p_NT * (part_NT == ANSWER)).sum(1))
