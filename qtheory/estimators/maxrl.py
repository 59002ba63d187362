"""MaxRL: rewards of sampled answers relative to the pool's mean, the 0/1-reward form of GARL at q = 1."""

from qtheory._arrays import Array
from qtheory.estimators.centring import centred
from qtheory.estimators.checks import rewards
from qtheory.estimators.coefficients import Coefficients, shared
from qtheory.estimators.spec import Estimator


def maxrl(reward: Array) -> Coefficients:
    """Coefficients (r_m - mean r) / mean r (Tajwar et al. 2026); a pool without any reward gives 0.

    Args:
        reward: (..., M) finite rewards of at least 0, of the sampled answers.

    Returns:
        Coefficients (..., M), rationale and answer equal, in [-1, M - 1], summing to 0.

    Raises:
        TypeError: reward is no float32 or float64 array.
        ValueError: reward is 0-d, has M = 0, or holds NaN, infinity or a negative value.
    """
    xp, reward = rewards(reward, non_negative=True)
    top = xp.max(reward, axis=-1, keepdims=True)
    unit = reward / xp.where(top > 0, top, xp.ones_like(top))
    mean = xp.mean(unit, axis=-1, keepdims=True)
    return shared(xp, centred(xp, unit) / xp.where(top > 0, mean, xp.ones_like(mean)))


SPEC = Estimator(
    name="maxrl",
    function=maxrl,
    inputs="reward",
    binary_reward=True,
    target="J_1 truncated at order M - 1, sum over j < M of (1-P)^j / j, exactly, for 0/1 rewards",
    paper="Tajwar et al. 2026, arXiv 2602.02710",
    limits="Silent on a pool without success, so that its amplification of J_0 is below M.",
)
