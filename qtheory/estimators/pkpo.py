"""PKPO: the gradient of pass@k from the rewards of sampled answers."""

from qtheory._arrays import Array
from qtheory.estimators.checks import rewards, set_size
from qtheory.estimators.coefficients import Coefficients, shared
from qtheory.estimators.spec import Estimator


def pkpo(reward: Array, k: int) -> Coefficients:
    """Coefficients k C(M-c, k-1)/C(M-1, k-1) on right answers, 0 on wrong ones (Walder & Karkhanis 2025, eq. 33).

    c is the number of right answers in the pool: M/k times the share of the sets of k samples in which this right
    answer is the only one, which is M times the paper's reward with its loo-1 baseline. (That is, over all sets of k
    that hold the sample, what the set's best reward loses without it.) k = 1 is `star`.

    Args:
        reward: (..., M) rewards 0 or 1 of the sampled answers.
        k: The size of the sets, from 1 to M.

    Returns:
        Coefficients (..., M), rationale and answer equal, from 0 to k.

    Raises:
        TypeError: reward is no float32 or float64 array, or k no integer.
        ValueError: reward is 0-d, has M = 0, or holds anything but 0 and 1; k < 1 or k > M.
    """
    xp, reward = rewards(reward, binary=True)
    size = reward.shape[-1]
    k = set_size(k, size)
    wrong = size - xp.sum(reward, axis=-1, keepdims=True)
    alone = xp.ones_like(wrong)
    for j in range(k - 1):
        alone = alone * ((wrong - j) / (size - 1 - j))  # at wrong = j a factor 0, and 0 it stays
    return shared(xp, k * alone * reward)


SPEC = Estimator(
    name="pkpo",
    function=pkpo,
    inputs="reward",
    binary_reward=True,
    target="1 - pass@k = (1-P)^k, exactly at every M >= k",
    paper="Walder & Karkhanis 2025, arXiv 2505.15201, eq. 33",
    limits=(
        "Silent on a pool without a right answer and on one with fewer than k - 1 wrong ones: it amplifies J_0 by "
        "k (1-P)^(k-1), k at most, and leaves prompts alone that are mostly solved."
    ),
    least_m="k",
)
