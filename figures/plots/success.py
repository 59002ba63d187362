"""Success against step: what the panels of `cold_start` and of its Adam neighbours share."""

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
        q: Its place on the continuum, None outside.
        steps: (n,) training steps that were evaluated on every base.
        mean: (n,) p@1, mean over bases.
        low: (n,) the lowest base.
        high: (n,) the highest base.
        ends: p@1 at the end of each base, None where it diverged.
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
    """One study: its lines and the setting that they share."""

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
        UserError: They differ in the learning rate too.
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
    """Draw mean lines and min-max bands against the step on a log axis. Step 0, where all are alike, has no place."""
    for index, line in enumerate(content.lines):
        kept = line.steps > 0
        axes.plot(
            line.steps[kept],
            line.mean[kept],
            label=short_name(line.estimator, line.q),
            # Staggered, so that lines on top of each other at 0 can be told apart.
            markevery=(index, len(content.lines)),
            **line_style(line.estimator, line.q),
        )
        axes.fill_between(
            line.steps[kept],
            line.low[kept],
            line.high[kept],
            color=line_style(line.estimator, line.q)["color"],
            alpha=0.16,
            linewidth=0,
        )
    axes.set_xscale("log")
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("training step")
    axes.set_title(f"{title}\n{setting(content)}")


def setting(content: Panel) -> str:
    """Optimiser, learning rate and P at the start, in a few words."""
    return f"{content.optimizer}, lr {power(content.lr)}, p0 {power(content.p0)}"


def verdict(content: Panel) -> str:
    """One sentence on who is stuck and who is out at the end, from the numbers."""
    stuck = [one for one in content.lines if all(end is not None and end <= STUCK for end in one.ends)]
    out = [one for one in content.lines if (mean(one.ends) or 0.0) > OUT]
    between = [one for one in content.lines if one not in stuck and one not in out]
    parts = [
        f"at most {STUCK:.0%} p@1 on every base: {listed([short_name(one.estimator, one.q) for one in stuck])}",
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
