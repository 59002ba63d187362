"""RLOO: rewards of sampled answers less the mean of the others."""

from qtheory._arrays import Array
from qtheory.estimators.centring import centred
from qtheory.estimators.checks import rewards
from qtheory.estimators.coefficients import Coefficients, shared
from qtheory.estimators.spec import Estimator


def rloo(reward: Array) -> Coefficients:
    """Coefficients r_m - mean of the other M - 1 rewards (Kool et al. 2019).

    Args:
        reward: (..., M) finite rewards of the sampled answers.

    Returns:
        Coefficients (..., M), rationale and answer equal, summing to 0, and exactly 0 for a reward at the mean; at
        M = 1, where there are no others, r itself.

    Raises:
        TypeError: reward is no float32 or float64 array.
        ValueError: reward is 0-d, has M = 0, or holds NaN or infinity.
    """
    xp, reward = rewards(reward)
    size = reward.shape[-1]
    if size == 1:
        return shared(xp, reward)
    return shared(xp, centred(xp, reward) * (size / (size - 1)))


SPEC = Estimator(
    name="rloo",
    function=rloo,
    inputs="reward",
    target="J_0, exactly at every M, for 0/1 rewards",
    paper="Kool et al. 2019",
    limits="Silent on a pool of equal rewards, so that it cannot move before the first success.",
)
