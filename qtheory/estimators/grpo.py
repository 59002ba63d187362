"""GRPO: rewards of sampled answers standardised within the pool."""

from qtheory._arrays import Array
from qtheory._numbers import flag
from qtheory.estimators.centring import centred
from qtheory.estimators.checks import rewards
from qtheory.estimators.coefficients import Coefficients, shared
from qtheory.estimators.spec import Estimator


def grpo(reward: Array, *, scale_by_std: bool = True) -> Coefficients:
    """Coefficients (r_m - mean r) / std r on rationale and sampled answer (Shao et al. 2024).

    std is the population's, over M, with no epsilon. TRL divides by the sample's, over M - 1, plus 1e-4: its
    coefficients are these times sqrt((M-1)/M), up to that epsilon. A pool of equal rewards (and so M = 1)
    gives exactly 0, as does a reward at the mean.

    Args:
        reward: (..., M) finite rewards of the sampled answers.
        scale_by_std: False leaves r_m - mean r, which is `dr_grpo`.

    Returns:
        Coefficients (..., M), rationale and answer equal, summing to 0.

    Raises:
        TypeError: reward is no float32 or float64 array, or scale_by_std neither True nor False.
        ValueError: reward is 0-d, has M = 0, or holds NaN or infinity.
    """
    xp, reward = rewards(reward)
    if not flag("scale_by_std", scale_by_std):
        return shared(xp, centred(xp, reward))
    # Standardising does not see an affine map, and [0, 1] has no rounding noise to divide by when all are
    # equal.
    low = xp.min(reward, axis=-1, keepdims=True)
    spread = xp.max(reward, axis=-1, keepdims=True) - low
    unit = (reward - low) / xp.where(spread > 0, spread, xp.ones_like(spread))
    distance = centred(xp, unit)
    deviation = xp.sqrt(xp.mean(distance**2, axis=-1, keepdims=True))
    return shared(xp, distance / xp.where(spread > 0, deviation, xp.ones_like(deviation)))


SPEC = Estimator(
    name="grpo",
    function=grpo,
    inputs="reward",
    target="2 arccos(sqrt P) as M grows, for 0/1 rewards; J_0 times (M-1)/M with scale_by_std = False",
    paper="Shao et al. 2024; Table 1-3",
    limits="Silent on a pool of equal rewards, so that it cannot move before the first success.",
)
