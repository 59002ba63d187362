"""Turn coefficients into a gradient in `.grad`, and make the optimizer that applies it."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from qtheory.estimators import Coefficients
from qtrain.config import OptimizerConfig
from qtrain.forward.head import log_probs, weighted_log_probs
from qtrain.forward.log_probs import TokenLogProbs
from qtrain.forward.micro_batches import recomputing
from qtrain.forward.packing import PackedBatch
from qtrain.forward.plain import PaddedBatch
from qtrain.forward.rows import ANSWER, RATIONALE
from qtrain.forward.support import forward_pass
from qtrain.policy.device import Dtype
from qtrain.policy.model import TokenIds
from qtrain.rollout.rollouts import Rollouts, batch_rows


class ForwardResult(NamedTuple):
    """A forward pass kept for `backward`, with the log-weights it produced.

    Attributes:
        batch: All rows of a batch as one micro-batch.
        states_KD: The final hidden states, or the logits, that predict its scored tokens, with their graph.
        log_w_BM: log p(y*|x, z) in nats, float64, on the CPU.
    """

    batch: PackedBatch | PaddedBatch
    states_KD: Tensor
    log_w_BM: Tensor


class BackwardResult(NamedTuple):
    """The loss and the log-probabilities of a backward pass.

    Attributes:
        surrogate: The surrogate loss (nats).
        rows: Number of rows with a nonzero coefficient.
        log_probs: Log-probabilities of the tokens that were run.
    """

    surrogate: float
    rows: int
    log_probs: TokenLogProbs


def make_optimizer(config: OptimizerConfig, model: nn.Module) -> torch.optim.Optimizer:
    """Make plain SGD (no momentum) or AdamW (no weight decay): only the gradient moves the weights.

    The fused versions create no temporary tensor as large as the embeddings.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if config.name == "sgd":
        return torch.optim.SGD(trained, lr=config.lr, fused=True)
    return torch.optim.AdamW(trained, lr=config.lr, eps=config.eps, weight_decay=0.0, fused=True)


def forward(
    model: PreTrainedModel,
    ids: TokenIds,
    rollouts: Rollouts,
    *,
    dtype: Dtype = "float32",
    recompute: bool = False,
    temperature: float = 1.0,
) -> ForwardResult:
    """Run a whole batch with y* after each rationale, before its coefficients are known: they depend on its log w.

    Args:
        model: The policy.
        ids: Special tokens.
        rollouts: The batch; its log w are not read.
        dtype: Type that the layers compute in.
        recompute: As in `backward`.
        temperature: Of the policy; divides the logits.
    """
    samples = rollouts.truncated_BM.shape[1]
    answers = [gold for gold in rollouts.gold for _ in range(samples)]
    rows = batch_rows(ids, rollouts, answers)
    chosen = forward_pass(model)
    with chosen.attention(), recomputing(model, recompute):
        ((batch, states_KD),) = chosen.run(rollouts.prompts, rows, max_tokens=None, dtype=dtype)
    is_answer = batch.part_K == ANSWER
    log_p_K = log_probs(chosen.head, states_KD[is_answer], batch.target_K[is_answer], temperature)
    of_answers = TokenLogProbs(log_p_K.double().cpu(), batch.part_K[is_answer].cpu(), batch.row_K[is_answer].cpu())
    log_w_N = of_answers.by_row(len(answers)).answer_N
    return ForwardResult(batch, states_KD, log_w_N.reshape(rollouts.truncated_BM.shape))


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
    forward_result: ForwardResult | None = None,
    temperature: float = 1.0,
) -> BackwardResult:
    """Write the estimate of the gradient of J into `.grad` of every trained parameter.

    Rows whose two coefficients are both zero are not run: PAFT thus runs each distinct rationale once, and a GRPO group
    with equal rewards contributes exactly zero. If no row remains, the gradient is zero everywhere, which still counts
    as a step (Adam's momentum is applied, as in other trainers).

    Args:
        model: The policy.
        ids: Special tokens.
        rollouts: The batch.
        coefficients_BM: One pair a sample.
        on_sampled_answers: Whether the answer coefficients apply to the sampled answers (otherwise to y*).
        micro_batch_tokens: Most tokens in one forward and backward pass, counting a prompt once for all its rows if
            they are packed, and prompts and padding of each row if they are padded; None runs all rows at once. The
            result is the same, since every micro-batch is divided by the number of rows of the whole batch.
        dtype: Type that the layers compute in, see `qtrain.policy.device.autocast`.
        recompute: Recompute activations in the backward pass; see `enable_recomputing`.
        forward_result: The forward pass, if `forward` has already run it.
        temperature: Of the policy; divides the logits.

    Returns:
        The surrogate loss, the number of rows that were run, and their tokens' log-probabilities.
    """
    rationale_N, answer_N = (coefficient_BM.flatten().to(model.device) for coefficient_BM in coefficients_BM)
    active = ((rationale_N != 0) | (answer_N != 0)).nonzero()[:, 0].tolist()
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = None  # frees its memory for the new gradient
            parameter.grad = torch.zeros_like(parameter)
    if not active:
        return BackwardResult(0.0, 0, TokenLogProbs.joined([]))
    chosen, surrogate, parts = forward_pass(model), 0.0, list[TokenLogProbs]()
    with chosen.attention(), recomputing(model, recompute):
        for batch, states_KD in (
            _run_rows(model, ids, rollouts, active, on_sampled_answers, micro_batch_tokens, dtype)
            if forward_result is None
            else [(forward_result.batch, forward_result.states_KD)]
        ):
            coefficient_K = token_coefficients(batch.part_K, batch.row_K, rationale_N, answer_N)
            log_p_K, gradient_KD = weighted_log_probs(
                chosen.head, states_KD.detach(), batch.target_K, coefficient_K, temperature
            )
            if states_KD.requires_grad:  # False if only the output matrix is trained
                states_KD.backward(gradient_KD)
            surrogate += float((coefficient_K * log_p_K).sum())
            parts.append(TokenLogProbs(log_p_K.double().cpu(), batch.part_K.cpu(), batch.row_K.cpu()))
    return BackwardResult(surrogate, len(active), TokenLogProbs.joined(parts))


def _run_rows(
    model: PreTrainedModel,
    ids: TokenIds,
    rollouts: Rollouts,
    indices: list[int],
    on_sampled_answers: bool,
    max_tokens: int | None,
    dtype: Dtype,
) -> Iterator[tuple[PackedBatch | PaddedBatch, Tensor]]:
    """Run some rows of a batch; `row_K` of the micro-batches counts the rows of the whole batch."""
    samples = rollouts.truncated_BM.shape[1]
    if on_sampled_answers:
        # A reward's gradient has no term for tokens that were not sampled.
        ids = ids._replace(score_closer=False)
    if not on_sampled_answers:
        answers = [rollouts.gold[row // samples] for row in indices]
    elif rollouts.answers is None:
        raise ValueError("rollouts.answers is None: roll out with sample_answers=True")
    else:
        answers = [rollouts.answers[row] for row in indices]
    rows = batch_rows(ids, rollouts, answers, indices)
    index_N = torch.tensor(indices, device=model.device)
    for batch, states_KD in forward_pass(model).run(rollouts.prompts, rows, max_tokens=max_tokens, dtype=dtype):
        yield batch._replace(row_K=index_N[batch.row_K]), states_KD


def enable_recomputing(model: PreTrainedModel) -> None:
    """Let `backward` recompute each layer's activations instead of keeping them."""
    # Version 5 of transformers renames the method; if both names exist, the old one warns.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def gradient_norm(model: nn.Module) -> float:
    """Return the Euclidean norm of all gradients together."""
    return float(nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None]))


def clip_gradient(model: nn.Module, norm: float, limit: float | None) -> None:
    """Scale all gradients by limit / norm if norm exceeds the limit."""
    if limit is not None and norm > limit:
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(limit / norm)


def token_coefficients(
    part_K: Tensor, row_K: Tensor, rationale_coefficient_N: Tensor, answer_coefficient_N: Tensor
) -> Tensor:
    """Return the factor of each token's log p in the surrogate loss.

    The loss is -(1/N) sum_n [ rationale_n log p(z_n|x) + answer_n log p(y_n|x, z_n) ], a sum over tokens.

    Args:
        part_K: RATIONALE or ANSWER.
        row_K: Index of the token's row.
        rationale_coefficient_N: c of Alg. 1, constants, for all N = B * M rows of the batch, including those that are
            not run.
        answer_coefficient_N: The coefficients of the answers, constants.

    Returns:
        (K,), of the coefficients' type.
    """
    coefficient_K = rationale_coefficient_N[row_K].where(part_K == RATIONALE, answer_coefficient_N[row_K])
    return -coefficient_K / len(rationale_coefficient_N)
