"""Sign: plus one for a right answer and minus one for a wrong one."""

from qtheory._arrays import Array
from qtheory.estimators.checks import rewards
from qtheory.estimators.coefficients import Coefficients, shared
from qtheory.estimators.spec import Estimator


def sign(reward: Array) -> Coefficients:
    """Coefficients 2 r_m - 1 (arXiv 2605.07689), `star` with twice the length and the constant baseline 1/2.

    Args:
        reward: (..., M) rewards 0 or 1 of the sampled answers.

    Returns:
        Coefficients (..., M), rationale and answer equal.

    Raises:
        TypeError: reward is no float32 or float64 array.
        ValueError: reward is 0-d, has M = 0, or holds anything but 0 and 1.
    """
    xp, reward = rewards(reward, binary=True)
    return shared(xp, 2 * reward - 1)


SPEC = Estimator(
    name="sign",
    function=sign,
    inputs="reward",
    binary_reward=True,
    target="J_0 times 2, exactly at every M",
    paper="arXiv 2605.07689",
    limits=(
        "Never silent: a pool of wrong answers alone is pushed down, which in a cold start is noise of full size "
        "around a gradient of the size of P."
    ),
)
