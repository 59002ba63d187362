"""Dr. GRPO: rewards of sampled answers centred within the pool, not scaled."""

from qtheory._arrays import Array
from qtheory.estimators.coefficients import Coefficients
from qtheory.estimators.grpo import grpo
from qtheory.estimators.spec import Estimator


def dr_grpo(reward: Array) -> Coefficients:
    """`grpo` without the standard deviation: r_m - mean r (Liu et al. 2025).

    Args:
        reward: (..., M) finite rewards of the sampled answers.

    Returns:
        Coefficients (..., M), rationale and answer equal, summing to 0.

    Raises:
        TypeError: As `grpo`.
        ValueError: As `grpo`.
    """
    return grpo(reward, scale_by_std=False)


SPEC = Estimator(
    name="dr_grpo",
    function=dr_grpo,
    inputs="reward",
    target="J_0 times (M-1)/M, exactly, for 0/1 rewards",
    paper="Liu et al. 2025",
    limits="Silent on a pool of equal rewards; nothing at all at M = 1.",
)
