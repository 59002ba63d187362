"""Estimators from their definitions, in 100 digits and plain loops: the slow references of QC-2, QC-4 and QC-R."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from qtheory.claims.support.reference import REALS, LatentModel, Pool, Real, Vector, dot, mean, power


def jackknife(model: LatentModel, pool: Pool, q: float) -> Vector:
    """M T - (M-1) mean_n T_(-n), T_(-n) the plug-in of the pool without draw n (d,)."""
    size = len(pool)
    whole = model.plug_in(pool, q)
    if size == 1:
        return whole
    without = [model.plug_in(pool[:n] + pool[n + 1 :], q) for n in range(size)]
    return [
        size * full - (size - 1) * mean(parts) for full, parts in zip(whole, zip(*without, strict=True), strict=True)
    ]


def delta(model: LatentModel, pool: Pool, q: float) -> Vector:
    """The plug-in less q/(M wbar^(q+1)) [ (q+1)/2 v gbar/wbar - c ], (d,), v and c unbiased sample (co)variances."""
    size, whole, order = len(pool), model.plug_in(pool, q), REALS.mpf(q)
    if size == 1:
        return whole
    w = [model.weights[z] for z in pool]
    average = mean(w)
    spread = sum((x - average) ** 2 for x in w) / (size - 1)
    corrected = []
    for plain, scores in zip(whole, zip(*(model.joint_scores[z] for z in pool), strict=True), strict=True):
        g = [-x * score for x, score in zip(w, scores, strict=True)]
        covariance = sum((x - average) * g_m for x, g_m in zip(w, g, strict=True)) / (size - 1)
        bias = order / (size * power(average, q + 1)) * ((order + 1) / 2 * spread * mean(g) / average - covariance)
        corrected.append(plain - bias)
    return corrected


def norm_weighted(model: LatentModel, pool: Pool, q: float) -> Vector:
    """GARL with b_m = wbar_(-m)^-q (sum_(n != m) N_n w_n)/(sum_(n != m) N_n), N = ||grad log p(z|x)||^2; M > 1."""
    w = [model.weights[z] for z in pool]
    norms = [dot(model.prior_scores[z], model.prior_scores[z]) for z in pool]
    estimate = model.plug_in(pool, q)
    for m in range(len(pool)):
        others = [n for n in range(len(pool)) if n != m]
        plain = mean([w[n] for n in others])
        # If all others are impossible, the baseline is GARL's, 0^(1-q).
        share = dot([norms[n] for n in others], [w[n] for n in others]) / sum(norms[n] for n in others)
        baseline = share / plain * power(plain, 1 - q) if plain else power(plain, 1 - q)
        estimate = [x + baseline * h / len(pool) for x, h in zip(estimate, model.prior_scores[pool[m]], strict=True)]
    return estimate


def less_the_others(reward: Sequence[Real]) -> Vector:
    """RLOO: r_m less the mean of the other rewards; r itself if there are none."""
    if len(reward) == 1:
        return list(reward)
    return [r - mean([*reward[:m], *reward[m + 1 :]]) for m, r in enumerate(reward)]


def centred(reward: Sequence[Real]) -> Vector:
    """Dr. GRPO: r_m less the mean of all."""
    return [r - mean(reward) for r in reward]


def standardised(reward: Sequence[Real]) -> Vector:
    """GRPO: centred rewards over the population's standard deviation; 0 if all rewards are equal."""
    deviation = REALS.sqrt(mean([x * x for x in centred(reward)]))
    return [x / deviation if deviation else REALS.zero for x in centred(reward)]


def relative(reward: Sequence[Real]) -> Vector:
    """MaxRL: centred rewards over their mean; 0 if all rewards are 0."""
    average = mean(reward)
    return [x / average if average else REALS.zero for x in centred(reward)]


REWARD_RULES: Mapping[str, Callable[[Sequence[Real]], Vector]] = MappingProxyType(
    {"reward_rloo": less_the_others, "dr_grpo": centred, "grpo": standardised, "maxrl": relative, "star": list}
)
"""Coefficients (M,) of rewards (M,), by the name of their exact moments."""


def on_sampled_answers(
    model: LatentModel, pool: Sequence[tuple[int, bool]], rule: Callable[[Sequence[Real]], Vector]
) -> Vector:
    """-(1/M) sum_m c_m grad log p(z_m, y_m|x), (d,), of a pool of (rationale, whether its answer is right)."""
    coefficients = rule([REALS.mpf(right) for _, right in pool])
    scores = [answer_score(model, z, right) for z, right in pool]
    return [-dot(coefficients, column) / len(pool) for column in zip(*scores, strict=True)]


def answer_score(model: LatentModel, z: int, right: bool) -> Vector:
    """(d,) grad log p(z, y|x) of a right or a wrong answer: log(1 - sigmoid) has the slope -sigmoid."""
    if right:
        return model.joint_scores[z]
    size = len(model.prior)
    return [h - model.weights[z] * (i == size + z) for i, h in enumerate(model.prior_scores[z])]
