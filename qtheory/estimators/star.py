"""STaR: fine-tuning on the samples whose answer is right (hard acceptance)."""

from qtheory._arrays import Array
from qtheory.estimators.checks import rewards
from qtheory.estimators.coefficients import Coefficients, shared
from qtheory.estimators.spec import Estimator


def star(reward: Array) -> Coefficients:
    """Coefficients r_m: the accepted samples' scores, averaged over the whole pool (Zelikman et al. 2022).

    That is the paper's own policy-gradient reading of one round; averaging over the accepted samples alone
    would be another estimator. Rationalisation with a hint is no part of it.

    Args:
        reward: (..., M) rewards 0 or 1 of the sampled answers.

    Returns:
        Coefficients (..., M), rationale and answer equal.

    Raises:
        TypeError: reward is no float32 or float64 array.
        ValueError: reward is 0-d, has M = 0, or holds anything but 0 and 1.
    """
    xp, reward = rewards(reward, binary=True)
    return shared(xp, reward)


SPEC = Estimator(
    name="star",
    function=star,
    inputs="reward",
    binary_reward=True,
    target="J_0, exactly at every M",
    paper="Zelikman et al. 2022",
    limits="No baseline: a pool that is all right still moves the parameters.",
)
