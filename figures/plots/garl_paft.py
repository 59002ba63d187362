"""Figure `garl_paft`: the paper's Fig 4 on the testbed, GARL against PAFT in warm start."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.names import listed, power, split
from figures.plots.palette import line_style
from figures.study_data import DATA, Row, only, read_study
from qtrain.errors import UserError

SHOWN = {"garl": "GARL", "paft": "PAFT"}
DASHES: dict[str, Any] = {name: line_style(name, 0.5)["linestyle"] for name in SHOWN}


@dataclass(frozen=True)
class Pair:
    """The runs of one estimator at one q, one row per base.

    Attributes:
        name: "garl" or "paft".
        q: In [0, 1].
        step: (n,) evaluated steps.
        at_1: (bases, n) p@1.
        majority: (bases, n) maj@16.
    """

    name: str
    q: float
    step: np.ndarray
    at_1: np.ndarray
    majority: np.ndarray

    @property
    def fall(self) -> float:
        """The largest fall of p@1 below a run's own best so far."""
        return float(np.max(np.maximum.accumulate(self.at_1, -1) - self.at_1))


@dataclass(frozen=True)
class GarlPaft:
    """All pairs, and their common setting."""

    pairs: tuple[Pair, ...]
    lr: float
    p0: float
    bases: int


def compute(folder: Path = DATA) -> GarlPaft:
    """The curves of the study `warm_paft`.

    Args:
        folder: Folder of the data file.

    Raises:
        UserError: The data file is missing or malformed.
    """
    study = read_study("warm_paft", folder)
    orders = sorted({row.q for row in study.rows if row.q is not None})
    pairs = []
    for q in orders:
        for name in SHOWN:
            rows = [row for row in study.rows if row.q == q and split(row.estimator)[0] == name]
            if not rows:
                raise UserError(f"warm_paft: no run of {name} at q = {q:g}; `python -m figures run warm_paft`")
            at_1, majority = (np.array([_values(row, key) for row in rows]) for key in ("p_at_1", "maj_at_16"))
            pairs.append(Pair(name, q, np.array(rows[0].curve.step), at_1, majority))
    lr = only((row.lr for row in study.rows), "the learning rate of warm_paft")
    return GarlPaft(tuple(pairs), lr, float(np.mean([row.p0 for row in study.rows])), len(study.seeds))


def _values(row: Row, name: str) -> list[float]:
    values = getattr(row.curve, name)
    if values is None:
        raise UserError(f"warm_paft: {row.estimator} has no {name} along the run; `python -m figures run warm_paft`")
    return values


def plot(data: GarlPaft) -> Figure:
    """One panel per q, 7 in wide: p@1 as thick lines, maj@16 as thin ones."""
    orders = sorted({pair.q for pair in data.pairs})
    figure, panels = plt.subplots(1, len(orders), figsize=(7, 2.7), sharey=True, squeeze=False)
    for axes, q, letter in zip(panels[0], orders, "abcdefgh", strict=False):
        for pair in data.pairs:
            if pair.q == q:
                _draw(axes, pair)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel("training step")
        axes.set_title(f"{letter}  q = {q:g}")
    panels[0, 0].set_ylabel("success on held-out prompts")
    handles = [
        Line2D([], [], color="#222222", linestyle=DASHES[name], linewidth=width, label=label)
        for name, title in SHOWN.items()
        for width, label in ((1.6, f"{title}, p@1"), (0.7, f"{title}, maj@16"))
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _draw(axes: Axes, pair: Pair) -> None:
    style = line_style(pair.name, pair.q)
    for values, width in ((pair.at_1, 1.6), (pair.majority, 0.7)):
        for run in values:
            axes.plot(pair.step, run, color=style["color"], linestyle=style["linestyle"], linewidth=width)


def caption(data: GarlPaft) -> str:
    """Describe the panels and state the results."""
    results = listed(
        [
            f"{SHOWN[pair.name]} q = {pair.q:g} {pair.at_1.max(-1).mean():.2f}, {pair.at_1[:, -1].mean():.2f} "
            f"({pair.fall:.2f})"
            for pair in data.pairs
        ]
    )
    lines = f"one line a base, {data.bases} bases" if data.bases > 1 else "one base"
    return (
        f"The paper's Fig 4 on the testbed: warm start (P {data.p0:.2f} at the start) under Adam at lr "
        f"{power(data.lr)}, GARL (solid) against PAFT (dotted), {lines}; p@1 and, thin, maj@16 on held-out prompts. "
        f"Best p@1, p@1 at the end (largest fall below a run's own best so far): {results}."
    )
