"""The surrogate loss: its gradient is the estimator's estimate, averaged over the prompts."""

from torch import Tensor

from qtrain.forward.rows import RATIONALE


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
