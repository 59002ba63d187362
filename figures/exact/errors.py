"""Measure the largest errors of the exact moments against independent 50-digit references."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from figures.exact import reference
from figures.exact.cases import LOG_W, PAIRS, PRIORS, random_task, task
from figures.exact.reference import Reference, SlowTask, enumerate_moments
from qtheory.exact import Moments, moments
from qtheory.models import FiniteTask

BOUNDS = {"mean": 1e-12, "bias": 1e-12, "variance": 1e-10, "second_moment": 1e-10}
LOOSER = {"rloo": {"variance": 1e-9, "second_moment": 1e-9}}
_RESAMPLED = 5  # K of PAFT
_LIKELY = 35  # successes in a pool that expects at most one; 36 or more have probability 1e-42
_ESTIMATES = {
    "plugin": reference.plug_in,
    "rloo": reference.rloo,
    "paft": reference.plug_in,
    "jackknife": reference.jackknife,
    "delta": reference.delta,
    "u_series": reference.u_series,
}
_CORRECTED = ("jackknife", "delta")
_LARGE = {"u_series": (10, 40)}
_TINY = 1e-30
# Share of the second moment that a nearly vanishing variance is compared with.
_FLOOR = 1e-4
_FLOORS = {"delta": 4e-4}
_FLOOR_AT_ONE = {"plugin": 1e-20, "paft": 1e-20}


@dataclass(frozen=True)
class AccuracyRow:
    """The largest errors of one form over the grid.

    Attributes:
        form: A form of `qtheory.exact.moments`.
        cells: Number of combinations (task, q, M) compared.
        mean: Error of the mean over its norm.
        bias: Error of the bias over its norm; for "jackknife" and "delta" over that of the plug-in's bias, or over
            1e-2/M of grad l_q, if larger; over the norm of grad l_q if the bias is 0.
        variance: Error of the variance over the variance, or over 1e-4 of the second moment if that is larger; the
            factor is 4e-4 for "delta", and 1e-20 for "plugin" and "paft" at q = 1.
        second_moment: Error of the second moment over the second moment.
    """

    form: str
    cells: int
    mean: float
    bias: float
    variance: float
    second_moment: float

    @property
    def within_bounds(self) -> bool:
        """Whether every error is within the bounds that `qtheory.exact.moments` documents."""
        bounds = BOUNDS | LOOSER.get(self.form, {})
        return all(getattr(self, name) <= bound for name, bound in bounds.items())


@dataclass(frozen=True)
class AccuracyResult:
    """The rows of all forms.

    Attributes:
        rows: One row per form.
        quick: Whether fewer cells were compared.
    """

    rows: tuple[AccuracyRow, ...]
    quick: bool

    @property
    def within_bounds(self) -> bool:
        """Whether every form is within its bounds."""
        return all(row.within_bounds for row in self.rows)


def accuracy(quick: bool = False, progress: Callable[[str], None] = lambda _: None) -> AccuracyResult:
    """Compare all moments of all forms on likelihood weights with slow references; deterministic.

    The tasks have three rationales with weights from 1e-300 to 1, enumerated over all pools of up to six draws, or two
    rationales of which one has a prior down to 1e-12, over the likely pools of up to 10^6 draws (40 for "u_series").
    The plug-in's integrals are compared with mpmath's quadrature too.

    Args:
        quick: Fewer q, M and tasks.
        progress: Called with the name of each form before it is compared.

    Returns:
        The largest errors.
    """
    rows = []
    for form in _ESTIMATES:
        progress(form)
        errors = list(_errors(form, quick))
        mean, bias, variance, second = (float(column) for column in np.max(errors, axis=0))
        rows.append(AccuracyRow(form, len(errors), mean, bias, variance, second))
    return AccuracyResult(tuple(rows), quick)


def accuracy_table(result: AccuracyResult) -> Table:
    """The largest errors as a table, readable at 80 columns; an error above its bound is red."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title="largest relative errors of the exact moments")
    table.add_column("form")
    for name in ("cells", *BOUNDS):
        table.add_column(name.replace("_", " "), justify="right", no_wrap=True)
    for row in result.rows:
        bounds = BOUNDS | LOOSER.get(row.form, {})
        values = [(getattr(row, name), bound) for name, bound in bounds.items()]
        texts = [Text(f"{value:.1e}", style="" if value <= bound else "red") for value, bound in values]
        table.add_row(row.form, str(row.cells), *texts)
    return table


def accuracy_json(result: AccuracyResult) -> str:
    """The errors and their bounds as JSON, null for an error that is not finite, with a final newline."""
    rows = [
        {
            key: value if not isinstance(value, float) or np.isfinite(value) else None
            for key, value in asdict(row).items()
        }
        | {"bounds": BOUNDS | LOOSER.get(row.form, {}), "kept": row.within_bounds}
        for row in result.rows
    ]
    return json.dumps({"quick": result.quick, "rows": rows}, indent=1, allow_nan=False) + "\n"


def _errors(form: str, quick: bool) -> Iterator[tuple[float, ...]]:
    """Errors of mean, bias, variance and second moment, cell by cell."""
    estimate, draws = _ESTIMATES[form], _RESAMPLED if form == "paft" else None

    def compared(example: FiniteTask, q: float, size: int, most: int | None) -> tuple[float, ...]:
        slow_task = SlowTask(example)
        slow = enumerate_moments(slow_task, q, size, estimate, draws, most)
        scale = 0.0
        if form in _CORRECTED:
            plain = np.linalg.norm(enumerate_moments(slow_task, q, size, most=most).bias)
            scale = max(float(plain), 1e-2 / size * float(np.linalg.norm(example.gradient(q))))
        ours, floor = moments(example, q, size, form, K=draws), variance_floor(form, q)
        return relative_errors(ours, slow, example.gradient(q), scale, floor)

    for log_w in LOG_W.values():
        for prior in list(PRIORS.values())[: 1 if quick else None]:
            for q in (0.0, 0.6, 1.0) if quick else (0.0, 1e-6, 0.3, 0.6, 0.99, 1.0):
                for size in (1, 3) if quick else (1, 2, 3, 6):
                    yield compared(task(prior, log_w), q, size, None)
    for prior, log_w in PAIRS[: 2 if quick else None]:
        for q in (0.75,) if quick else (0.25, 0.75, 1.0):
            for size in _LARGE.get(form, (10, 10**6) if quick else (10, 1000, 10**6)):
                yield compared(task((prior, 1 - prior), log_w), q, size, min(_LIKELY, size))
    if form == "plugin" and not quick:
        example = random_task(np.random.default_rng(5), 4, 2)
        for q in (0.5, 1.0):
            for size in (30, 10**6):
                slow = reference.quadrature_moments(SlowTask(example), q, size)
                floor = variance_floor(form, q)
                yield relative_errors(moments(example, q, size), slow, example.gradient(q), floor=floor)


def variance_floor(form: str, q: float) -> float:
    """Share of the second moment that a form's variance error is divided by, if larger than the variance."""
    own = _FLOORS.get(form, _FLOOR)
    return _FLOOR_AT_ONE.get(form, own) if q == 1 else own


def relative_errors(
    ours: Moments, slow: Reference, gradient: np.ndarray, scale: float = 0.0, floor: float = _FLOOR
) -> tuple[float, ...]:
    """Errors of one cell, as in `AccuracyRow`.

    Args:
        ours: Moments at one (q, M).
        slow: Reference moments.
        gradient: (d,) grad l_q.
        scale: Size that the bias error is divided by, if larger than the norm of the bias.
        floor: Share of the second moment, from `variance_floor`.

    Returns:
        Errors of mean, bias, variance and second moment; 0 if the error is 0.
    """
    size, length = float(np.linalg.norm(slow.bias)), float(np.linalg.norm(gradient))
    unbiased = max(size, scale) < _TINY * length
    return (
        _ratio(np.linalg.norm(ours.mean - slow.mean), np.linalg.norm(slow.mean)),
        _ratio(np.linalg.norm(ours.bias - slow.bias), length if unbiased else max(size, scale)),
        _ratio(abs(ours.variance - slow.variance), max(slow.variance, floor * slow.second_moment)),
        _ratio(abs(ours.second_moment - slow.second_moment), slow.second_moment),
    )


def _ratio(error: float | np.ndarray | np.floating, size: float | np.ndarray | np.floating) -> float:
    return float(error / size) if error != 0 else 0.0
