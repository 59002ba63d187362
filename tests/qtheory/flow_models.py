"""Models with closed-form scores for the flows' tests."""

import numpy as np
from scipy.special import expit, log_softmax, softmax


class Crossing:
    """A terminal or a recorded event of scipy's solve_ivp: a function of the state that rises through 0."""

    direction = 1

    def __init__(self, function, *, terminal):
        self.function, self.terminal = function, terminal

    def __call__(self, _, y):
        return self.function(y)


def logit(p):
    return np.log(p) - np.log1p(-p)


def sigmoid_score(theta):
    """One example, P = sigma(theta): theta (1,) -> (1,)."""
    return expit(-theta)


def sigmoid_log_p(theta):
    return -float(np.logaddexp(0, -theta[0]))


def arms_score(theta):
    """Softmax over the entries of theta, the first of them right: (K,) -> (K,)."""
    return np.eye(theta.size)[0] - softmax(theta)


def arms_log_p(theta):
    return float(log_softmax(theta)[0])


def logistic(directions):
    """Examples P_i = sigma(u_i . theta) on shared parameters: scores (..., d) -> (..., N, d) and log P."""
    u = np.asarray(directions, dtype=float)

    def scores(theta):
        return expit(-(theta @ u.T))[..., None] * u

    def log_p(theta):
        return -np.logaddexp(0, -(theta @ u.T))

    return scores, log_p
