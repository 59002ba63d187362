"""What an estimator returns: one coefficient a sample on the rationale's score and one on the answer's."""

from typing import NamedTuple

from qtheory._arrays import Array, Namespace


class Coefficients(NamedTuple):
    """Coefficients of the gradient estimate of a loss J that is to be descended.

    estimate = -(1/M) sum_m [ rationale_m grad log p(z_m|x) + answer_m grad log p(y_m|x, z_m) ]

    y_m is the gold answer y* for the estimators that read log_w, and the m-th sampled answer for those that
    read rewards. Both arrays are fresh and of the input's library, dtype and device.

    Attributes:
        rationale: (..., M), on the tokens of z_m.
        answer: (..., M), on the tokens of y_m.
    """

    rationale: Array
    answer: Array


def shared(xp: Namespace, value: Array) -> Coefficients:
    """The same coefficients (..., M) on rationale and answer, as two fresh arrays."""
    return Coefficients(xp.asarray(value, copy=True), xp.asarray(value, copy=True))
