"""Figure `cold_start`: success against step under SGD and Adam, with one learning rate per panel."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from figures.plots.success import Panel, draw, panel, setting, verdict
from figures.study_data import DATA, read_study

TITLES = {
    "cold_start": "a  cold start",
    "adam_conflict": "b  easy and hard in conflict",
    "adam_alike": "c  all prompts alike",
}
"""Studies and the titles of their panels, left to right."""


@dataclass(frozen=True)
class ColdStart:
    """The panels by study."""

    panels: dict[str, Panel]


def compute(folder: Path = DATA) -> ColdStart:
    """Means and spreads over bases of the three studies.

    Args:
        folder: Folder of the data files.

    Raises:
        UserError: A data file is missing or malformed.
    """
    return ColdStart({name: panel(read_study(name, folder)) for name in TITLES})


def plot(data: ColdStart) -> Figure:
    """Three panels that share the axis of p@1, 7 in wide."""
    figure, panels = plt.subplots(1, len(TITLES), figsize=(7, 2.75), sharey=True)
    for axes, (name, title) in zip(panels, TITLES.items(), strict=True):
        draw(axes, data.panels[name], title)
    panels[0].set_ylabel("success on held-out prompts, p@1")
    keys = {label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(keys.values(), keys.keys(), loc="outside lower center", ncols=len(keys))
    return figure


def caption(data: ColdStart) -> str:
    """Describe the panels and state the results."""
    a, b, c = (data.panels[name] for name in TITLES)
    return (
        f"Success (p@1 on held-out prompts) against the training step, {a.prompts} prompts x {a.samples} rationales a "
        f"step, the same learning rate for every estimator of a panel; lines are means over {a.bases} bases, bands "
        f"their minimum to maximum. "
        f"a: the cold start, {setting(a)}. {verdict(a)} "
        f"b: {setting(b)}, half of each batch easy prompts that ask for the other format; p@1 of the hard half. "
        f"{verdict(b)} "
        f"c: {setting(c)}, all prompts alike. {verdict(c)}"
    )
