"""Plot success against step: shared by the panels of `cold_start` and the tables of success."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from figures.names import listed, mean, power, short_name
from figures.plots.palette import line_style
from figures.study_data import Row, Study, only

STUCK, OUT = 0.01, 0.5
"""p@1 at the end: at most STUCK on every base counts as stuck, above OUT on average as escaped."""


@dataclass(frozen=True)
class Line:
    """One estimator.

    Attributes:
        estimator: As results name it.
        q: Its q, None for an estimator without one.
        steps: (n,) training steps that were evaluated on every base.
        mean: (n,) p@1, mean over bases.
        low: (n,) the lowest base.
        high: (n,) the highest base.
        ends: p@1 at the end on each base, None if the run diverged.
    """

    estimator: str
    q: float | None
    steps: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    ends: tuple[float | None, ...]


@dataclass(frozen=True)
class Panel:
    """One study: its lines and their common setting."""

    optimizer: str
    lr: float
    p0: float
    bases: int
    prompts: int
    samples: int
    lines: tuple[Line, ...]


def panel(study: Study) -> Panel:
    """The panel of a study whose runs differ in estimator and base only.

    Raises:
        UserError: The runs differ in the learning rate too.
    """
    first = study.rows[0]
    return Panel(
        optimizer={"sgd": "SGD", "adamw": "Adam"}.get(first.optimizer, first.optimizer),
        lr=only((row.lr for row in study.rows), f"the learning rate of {study.study}"),
        p0=float(np.exp(np.mean([np.log(row.p0) for row in study.rows]))),
        bases=len(study.seeds),
        prompts=first.prompts,
        samples=first.samples,
        lines=tuple(_line(estimator, rows) for estimator, rows in study.by_estimator.items()),
    )


def _line(estimator: str, rows: Sequence[Row]) -> Line:
    curves = [dict(zip(row.curve.step, row.curve.p_at_1, strict=True)) for row in rows]
    steps = sorted(set.intersection(*(set(curve) for curve in curves)))
    values = np.array([[curve[step] for step in steps] for curve in curves])
    return Line(
        estimator,
        rows[0].q,
        np.array(steps),
        values.mean(0),
        values.min(0),
        values.max(0),
        tuple(row.p_at_1 for row in rows),
    )


def draw(axes: Axes, content: Panel, title: str) -> None:
    """Draw mean lines and min-max bands against the step on a log axis. Step 0 is left out."""
    for index, line in enumerate(content.lines):
        shown = line.steps > 0
        axes.plot(
            line.steps[shown],
            line.mean[shown],
            label=short_name(line.estimator, line.q),
            # Staggered, so that overlapping lines at 0 can be told apart.
            markevery=(index, len(content.lines)),
            **line_style(line.estimator, line.q),
        )
        axes.fill_between(
            line.steps[shown],
            line.low[shown],
            line.high[shown],
            color=line_style(line.estimator, line.q)["color"],
            alpha=0.16,
            linewidth=0,
        )
    axes.set_xscale("log")
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("training step")
    axes.set_title(f"{title}\n{setting(content)}")


def setting(content: Panel) -> str:
    """Optimiser, learning rate and P at the start as a short text."""
    return f"{content.optimizer}, lr {power(content.lr)}, p0 {power(content.p0)}"


def verdict(content: Panel) -> str:
    """A sentence that lists the estimators that are stuck, escaped or between at the end."""
    stuck = [line for line in content.lines if all(end is not None and end <= STUCK for end in line.ends)]
    out = [line for line in content.lines if (mean(line.ends) or 0.0) > OUT]
    between = [line for line in content.lines if line not in stuck and line not in out]
    parts = [
        f"at most {STUCK:.0%} p@1 on every base: {listed([short_name(line.estimator, line.q) for line in stuck])}",
        f"above {OUT:.0%} on average: {_means(out)}",
        *([f"between: {_means(between)}"] if between else []),
    ]
    return f"At the end {'; '.join(parts)}."


def _means(lines: Sequence[Line]) -> str:
    return listed([f"{short_name(line.estimator, line.q)} ({_mean(line.ends)})" for line in lines])


def _mean(ends: Sequence[float | None]) -> str:
    value, known = mean(ends), [end for end in ends if end is not None]
    if value is None:
        return f"{len(ends) - len(known)} of {len(ends)} diverged"
    return f"{value:.2f}, lowest {min(known):.2f}"
