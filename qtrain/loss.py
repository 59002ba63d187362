"""The surrogate loss: its gradient is the estimator's estimate, averaged over the prompts."""

from torch import Tensor

from qtrain.log_weights import RowLogProbs


def surrogate_loss(
    log_probs: RowLogProbs, rationale_coefficient_N: Tensor, answer_coefficient_N: Tensor, *, rows: int
) -> Tensor:
    """-(1/rows) sum_n [ rationale_n log p(z_n|x) + answer_n log p(y_n|x, z_n) ], a scalar.

    Args:
        log_probs: Differentiable log-probabilities of the rows at hand.
        rationale_coefficient_N: c of Alg. 1, constants.
        answer_coefficient_N: Its answer part, constants.
        rows: B * M of the whole batch. It is an argument because rows with zero coefficients may be left out of the
            forward pass, which must not change the result.
    """
    weighted_N = rationale_coefficient_N * log_probs.rationale_N + answer_coefficient_N * log_probs.answer_N
    return -weighted_N.sum() / rows
