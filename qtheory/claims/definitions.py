"""Estimators by their definitions, in 100 digits and plain loops: the slow side of QC-2 and QC-4."""

from qtheory.claims.reference import REALS, LatentModel, Pool, Vector, dot, mean, power


def jackknife(model: LatentModel, pool: Pool, q: float) -> Vector:
    """M T - (M-1) mean_n T_(-n), T_(-n) the plug-in of the pool without draw n (d,)."""
    size = len(pool)
    whole = model.plug_in(pool, q)
    if size == 1:
        return whole
    without = [model.plug_in(pool[:n] + pool[n + 1 :], q) for n in range(size)]
    return [size * one - (size - 1) * mean(rest) for one, rest in zip(whole, zip(*without, strict=True), strict=True)]


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
        covariance = sum((x - average) * one for x, one in zip(w, g, strict=True)) / (size - 1)
        bias = order / (size * power(average, q + 1)) * ((order + 1) / 2 * spread * mean(g) / average - covariance)
        corrected.append(plain - bias)
    return corrected


def norm_weighted(model: LatentModel, pool: Pool, q: float) -> Vector:
    """GARL with b_m = wbar_(-m)^-q (sum_(n != m) N_n w_n)/(sum_(n != m) N_n), N = ||grad log p(z|x)||^2, (d,)."""
    w = [model.weights[z] for z in pool]
    norms = [dot(model.prior_scores[z], model.prior_scores[z]) for z in pool]
    estimate = model.plug_in(pool, q)
    for m in range(len(pool)):
        others = [n for n in range(len(pool)) if n != m]
        plain = mean([w[n] for n in others])
        # Others that are all impossible have GARL's baseline, 0^(1-q).
        share = dot([norms[n] for n in others], [w[n] for n in others]) / sum(norms[n] for n in others)
        baseline = share / plain * power(plain, 1 - q) if plain else power(plain, 1 - q)
        estimate = [
            x + baseline * h / len(pool) for x, h in zip(estimate, model.prior_scores[pool[m]], strict=True)
        ]
    return estimate
