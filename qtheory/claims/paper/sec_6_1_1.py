"""Sec 6.1.1: the effective reward is bounded by M^q, and by 1 with the algorithms' factor 1/M^q."""

import numpy as np
import sympy

from qtheory.claims.claim import Claim, Comparison, Evidence
from qtheory.claims.support.symbolic import vanishes
from qtheory.estimators import Coefficients, garl, garl_weighted, paft_from_counts

Q = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
SAMPLES = (1, 2, 8, 32, 1000)
POOLS = 200
LEAST = 1e-290  # smaller coefficients are left out, as their ratios are dominated by rounding


def check() -> Evidence:
    """The largest effective reward of pools of every spread, a pool that attains the bound, and both normalised."""
    rng = np.random.default_rng(0)
    largest, normalised, attained, ratios = [], [], [], []
    for size in SAMPLES:
        # Spreads from nearly equal weights to one that is e^1000 times the others.
        spread = 10 ** rng.uniform(-3, 3, size=(POOLS, 1))
        log_w = -spread * rng.exponential(size=(POOLS, size))
        log_w -= log_w.max(-1, keepdims=True) * (rng.random((POOLS, 1)) < 0.5)
        lone = np.where(np.arange(size) == 0, 0.0, -np.inf)
        largest.append([garl(log_w, q, baseline="none").answer.max() for q in Q])
        normalised.append([garl(log_w, q, baseline="none", normalize=True).answer.max() for q in Q])
        attained.append([garl(lone, q, baseline="none").answer[0] for q in Q])
        ratios.append([_normalised_over_plain(log_w[:10], float(q), rng) for q in Q])
    bound = np.array(SAMPLES)[:, None] ** Q
    w, others, count, q = sympy.symbols("w r M q", positive=True)
    effective = w / ((w + others) / count) ** q
    factors = count**q * w ** (1 - q) * (w / (w + others)) ** q
    return Evidence(
        (
            Comparison("largest w_m/wbar^q of random pools, M^q", np.array(largest), bound, 1e-13, "relative", "<="),
            Comparison("w_m/wbar^q of a lone success, M^q", np.array(attained), bound, 1e-13, "relative"),
            Comparison(
                "normalised coefficients of GARL, norm-weighted GARL and PAFT over theirs, 1/M^q",
                np.array(ratios),
                1 / bound[..., None, None],
                1e-13,
                "relative",
            ),
            Comparison(
                "largest normalised w_m/wbar^q of random pools, 1",
                np.array(normalised),
                np.array(1),
                1e-13,
                "absolute",
                "<=",
            ),
            # Both factors besides M^q are at most 1 for w <= 1.
            vanishes("w_m/wbar^q = M^q w_m^(1-q) (w_m/sum w)^q", sympy.powsimp(effective / factors, force=True) - 1),
        )
    )


def _normalised_over_plain(log_w: np.ndarray, q: float, rng: np.random.Generator) -> np.ndarray:
    """(3, 2) smallest and largest ratio of normalised to plain coefficients, by estimator."""
    norms, counts = rng.exponential(size=log_w.shape), rng.poisson(1.0, size=log_w.shape).astype(float)

    def ends(normalised: Coefficients, plain: Coefficients) -> tuple[float, float]:
        large = abs(np.stack(plain)) > LEAST
        ratios = np.stack(normalised)[large] / np.stack(plain)[large]
        return ratios.min(), ratios.max()

    return np.array(
        [
            ends(*(garl(log_w, q, normalize=on) for on in (True, False))),
            ends(*(garl_weighted(log_w, q, score_norm_sq=norms, normalize=on) for on in (True, False))),
            ends(*(paft_from_counts(log_w, q, counts, normalize=on) for on in (True, False))),
        ]
    )


SEC_6_1_1 = Claim(
    label="Sec 6.1.1",
    statement=(
        "the effective reward w_m/wbar^q is at most M^q, and a lone certain success attains it; the normalised one, by "
        "the algorithms' 1/M^q, is at most 1"
    ),
    verdict="holds",
    condition=None,
    check=check,
    figure="saturation",
)
