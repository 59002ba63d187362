"""The update: coefficients to a gradient, the gradient to new weights."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from qtheory.estimators import Coefficients
from qtrain.config import OptimizerConfig
from qtrain.forward.attention import packed
from qtrain.forward.head import log_probs, output_matrix, weighted_log_probs
from qtrain.forward.log_probs import TokenLogProbs
from qtrain.forward.packing import PackedBatch
from qtrain.forward.passes import passes, recomputing
from qtrain.forward.rows import ANSWER, RATIONALE
from qtrain.policy.device import Dtype
from qtrain.policy.model import TokenIds
from qtrain.rollout.rollouts import Rollouts, batch_rows


class ForwardResult(NamedTuple):
    """A forward pass whose backward pass is to come, and the log-weights that it found.

    Attributes:
        packed: All rows of a batch.
        states_KD: The states in front of the output matrix, with their graph.
        log_w_BM: log p(y*|x, z) in nats, float64, on the CPU.
    """

    packed: PackedBatch
    states_KD: Tensor
    log_w_BM: Tensor


class Backward(NamedTuple):
    """What a backward pass was about.

    Attributes:
        surrogate: The surrogate loss (nats).
        rows: Rows with a coefficient that is not zero.
        log_probs: Of the tokens that were run.
    """

    surrogate: float
    rows: int
    log_probs: TokenLogProbs


def make_optimizer(config: OptimizerConfig, model: nn.Module) -> torch.optim.Optimizer:
    """Plain SGD (no momentum) or AdamW (no weight decay): nothing but the gradient moves a weight.

    Fused: no tensor as large as the embeddings is made on the way.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if config.name == "sgd":
        return torch.optim.SGD(trained, lr=config.lr, fused=True)
    return torch.optim.AdamW(trained, lr=config.lr, eps=config.eps, weight_decay=0.0, fused=True)


def forward(
    model: PreTrainedModel, ids: TokenIds, rollouts: Rollouts, *, dtype: Dtype = "float32", recompute: bool = False
) -> ForwardResult:
    """Run a whole batch with y* behind each rationale, before its coefficients are known: they come from its log w.

    Args:
        model: The policy.
        ids: Special tokens.
        rollouts: The batch; its log w are not read.
        dtype: What the layers compute in.
        recompute: As in `backward`.
    """
    samples = rollouts.truncated_BM.shape[1]
    answers = [gold for gold in rollouts.gold for _ in range(samples)]
    with packed(model), recomputing(model, recompute):
        ((one, states_KD),) = passes(
            model, rollouts.prompts, batch_rows(ids, rollouts, answers), limit=None, dtype=dtype
        )
    of_answer = one.part_K == ANSWER
    log_p_K = log_probs(output_matrix(model), states_KD[of_answer], one.target_K[of_answer])
    found = TokenLogProbs(log_p_K.double().cpu(), one.part_K[of_answer].cpu(), one.row_K[of_answer].cpu())
    return ForwardResult(one, states_KD, found.by_row(len(answers)).answer_N.reshape(rollouts.truncated_BM.shape))


def backward(
    model: PreTrainedModel,
    ids: TokenIds,
    rollouts: Rollouts,
    coefficients_BM: Coefficients,
    *,
    on_sampled_answers: bool,
    micro_batch_tokens: int | None = None,
    dtype: Dtype = "float32",
    recompute: bool = False,
    ahead: ForwardResult | None = None,
) -> Backward:
    """Put the estimate of the gradient of J into `.grad` of every parameter.

    Rows whose two coefficients are zero take no part: with PAFT that trains each distinct rationale once, and a GRPO
    group with equal rewards gives an exact zero. With no row left the gradient is zero everywhere, which still counts
    as a step (Adam's momentum moves on, as in other trainers).

    Args:
        model: The policy.
        ids: Special tokens.
        rollouts: The batch.
        coefficients_BM: One pair a sample.
        on_sampled_answers: Whether the answer coefficients belong to the sampled answers or to y*.
        micro_batch_tokens: Most tokens in one forward and backward pass, a prompt counted once for all its rows; None
            runs all at once. The result is the same: every part is divided by the rows of the whole batch.
        dtype: What the layers compute in, see `qtrain.policy.precision`.
        recompute: Compute activations again in the backward pass; see `enable_recomputing`.
        ahead: The forward pass, where `forward` has run it.

    Returns:
        The surrogate loss, how many rows were run, and their tokens' log-probabilities.
    """
    rationale_N, answer_N = (one.flatten().to(model.device) for one in coefficients_BM)
    kept = ((rationale_N != 0) | (answer_N != 0)).nonzero()[:, 0].tolist()
    for parameter in filter(lambda one: one.requires_grad, model.parameters()):
        parameter.grad = None  # so that its memory serves the new one
        parameter.grad = torch.zeros_like(parameter)
    if not kept:
        return Backward(0.0, 0, TokenLogProbs.joined([]))
    head, surrogate, found = output_matrix(model), 0.0, list[TokenLogProbs]()
    with packed(model), recomputing(model, recompute):
        for one, states_KD in (
            _kept_rows(model, ids, rollouts, kept, on_sampled_answers, micro_batch_tokens, dtype)
            if ahead is None
            else [(ahead.packed, ahead.states_KD)]
        ):
            coefficient_K = token_coefficients(one.part_K, one.row_K, rationale_N, answer_N)
            log_p_K, gradient_KD = weighted_log_probs(head, states_KD.detach(), one.target_K, coefficient_K)
            if states_KD.requires_grad:  # not where the output matrix alone is trained
                states_KD.backward(gradient_KD)
            surrogate += float((coefficient_K * log_p_K).sum())
            found.append(TokenLogProbs(log_p_K.double().cpu(), one.part_K.cpu(), one.row_K.cpu()))
    return Backward(surrogate, len(kept), TokenLogProbs.joined(found))


def _kept_rows(
    model: PreTrainedModel,
    ids: TokenIds,
    rollouts: Rollouts,
    kept: list[int],
    on_sampled_answers: bool,
    limit: int | None,
    dtype: Dtype,
) -> Iterator[tuple[PackedBatch, Tensor]]:
    """The passes of these rows, their tokens told by the rows' places in the whole batch."""
    samples = rollouts.truncated_BM.shape[1]
    if not on_sampled_answers:
        answers = [rollouts.gold[row // samples] for row in kept]
    elif rollouts.answers is None:
        raise ValueError("rollouts.answers is None: roll out with sample_answers=True")
    else:
        answers = [rollouts.answers[row] for row in kept]
    rows = batch_rows(ids, rollouts, answers, kept)
    place_K = torch.tensor(kept, device=model.device)
    for one, states_KD in passes(model, rollouts.prompts, rows, limit=limit, dtype=dtype):
        yield one._replace(row_K=place_K[one.row_K]), states_KD


def enable_recomputing(model: PreTrainedModel) -> None:
    """Let `backward` compute each layer's activations again instead of keeping them."""
    # Transformers renames it within version 5; the old name warns where there is the new one.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def gradient_norm(model: nn.Module) -> float:
    """Euclidean norm of all gradients."""
    return float(nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None]))


def clip_gradient(model: nn.Module, norm: float, limit: float | None) -> None:
    """Scale all gradients by limit / norm where norm exceeds the limit."""
    if limit is not None and norm > limit:
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(limit / norm)


def token_coefficients(
    part_K: Tensor, row_K: Tensor, rationale_coefficient_N: Tensor, answer_coefficient_N: Tensor
) -> Tensor:
    """What each token's log p is multiplied with in the surrogate loss.

    It is -(1/N) sum_n [ rationale_n log p(z_n|x) + answer_n log p(y_n|x, z_n) ], a sum over tokens.

    Args:
        part_K: What a token belongs to, RATIONALE or ANSWER.
        row_K: The row that it is in.
        rationale_coefficient_N: c of Alg. 1, constants, for all N = B * M rows of the batch: those that are left out of
            a pass count too.
        answer_coefficient_N: Its answer part, constants.

    Returns:
        (K,), of the coefficients' type.
    """
    of_rationale = part_K == RATIONALE
    chosen_K = rationale_coefficient_N[row_K].where(of_rationale, answer_coefficient_N[row_K])
    return -chosen_K / len(rationale_coefficient_N)
