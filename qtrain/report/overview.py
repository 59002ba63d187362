"""Draw the overview picture that accompanies the page: success against steps, one panel per section, as PNG."""

import io
import math
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from qtrain.report.aggregation import Curve, mean_curve
from qtrain.report.labels import short_name, visible
from qtrain.report.measures import SUCCESS
from qtrain.report.palette import LineStyle, line_style
from qtrain.report.records import Run, Section
from qtrain.report.summary import conditions

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same bytes on every machine
    "font.size": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.labelcolor": "#222222",
    "axes.titlelocation": "left",
    "axes.titlesize": 11.5,
    "axes.titlepad": 10,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
}
STEP_LABEL = "training step (log axis beyond the first mark)"
LABEL_INCHES = 0.2
"""Smallest distance between two labels at the ends of curves."""
AXIS_SHARE = 0.82
"""Approximate share of a panel's height that titles and step labels leave to its axis."""
DIVERGED = "#c1121f"
"""Colour of the cross at the end of a run that diverged."""
LONGEST_NAME = 24
"""Longest estimator name in characters; longer names would leave no room for the axes."""


def overview_png(sections: list[Section]) -> bytes:
    """One panel of success per section, three side by side; 1600 x 900 pixels up to two rows of them."""
    columns = min(3, len(sections))
    rows = math.ceil(len(sections) / columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12.8, 7.2 * max(1, rows / 2)), dpi=125, layout="constrained")
        panels = list(figure.subplots(rows, columns, squeeze=False).flat)
        for section, axes in zip(sections, panels, strict=False):
            _success_panel(axes, section)
            title = f"{visible(section.title)}\n{visible(conditions(section))}"
            axes.set_title(title, linespacing=1.4, parse_math=False)
        for axes in panels[len(sections) :]:
            axes.set_axis_off()
        figure.supylabel("success on held-out prompts, p@1", fontsize=11)
        png = io.BytesIO()
        figure.savefig(png, format="png", metadata={"Software": None})
    return png.getvalue()


def _success_panel(axes: Axes, section: Section) -> None:
    _draw(axes, section)
    highest = max((float(SUCCESS.points(run).values.max(initial=0.0)) for run in section.runs), default=0.0)
    top = 1.0 if highest > 0.5 else max(0.05, 1.2 * highest)
    axes.set_ylim(-0.02 * top, top * 1.02)
    _label_ends(axes, section)


def _draw(axes: Axes, section: Section) -> None:
    for style, _, runs, curve in _curves(section):
        axes.plot(
            curve.steps,
            curve.mean,
            color=style.color,
            linestyle=style.dashes,
            linewidth=1.8,
            marker=style.marker,
            markersize=4,
        )
        axes.fill_between(curve.steps, curve.low, curve.high, color=style.color, alpha=0.16, linewidth=0)
        if any(run.result.diverged_step is not None for run in runs):
            axes.plot(curve.steps[-1], curve.mean[-1], color=DIVERGED, marker="X", markersize=9)
    _step_axis(axes, [int(step) for *_, curve in _curves(section) for step in curve.steps])


def _step_axis(axes: Axes, steps: list[int]) -> None:
    first = min((step for step in steps if step > 0), default=1)
    last = max([first, *steps])
    axes.set_xscale("symlog", linthresh=first, linscale=0.3)
    axes.set_xlim(0, last * 1.04)
    ticks = step_ticks(first, last)
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlabel(STEP_LABEL)


def step_ticks(first: int, last: int) -> list[int]:
    """0, the first step, then doubling (by tens over long ranges), and the last step."""
    factor = 2 if last < 40 * first else 10
    ticks = [first]
    while ticks[-1] * factor * 1.6 < last:
        ticks.append(ticks[-1] * factor)
    return [0, *ticks, *([last] if last > ticks[-1] else [])]


def _curves(section: Section) -> Iterator[tuple[LineStyle, str, list[Run], Curve]]:
    """Style, name, runs and curve of each estimator that has been evaluated."""
    for estimator, runs in section.by_estimator.items():
        curve = mean_curve(runs, SUCCESS)
        if len(curve.steps):
            yield line_style(estimator, runs[0].result.q), visible(short_name(estimator))[:LONGEST_NAME], runs, curve


def _label_ends(axes: Axes, section: Section) -> None:
    """Write each estimator's name beside the end of its curve, and move overlapping names apart."""
    axes.set_ylim(axes.get_ylim())  # fixes the lazy limits, which the positions below depend on
    ends = [(_share_of_axis(axes, curve.mean[-1]), style, name) for style, name, _, curve in _curves(section)]
    ends.sort(key=lambda end: end[0])  # stable: equal ends keep the table's order, from bottom to top
    places = spread([end[0] for end in ends], LABEL_INCHES / _inches(axes))
    for (height, style, name), place in zip(ends, places, strict=True):
        across = {"transform": axes.transAxes, "clip_on": False}
        axes.plot([1.0, 1.03], [height, place], color=style.color, linewidth=0.8, **across)
        axes.text(1.04, place, name, color=_ink(style), va="center", fontsize="small", parse_math=False, **across)


def _share_of_axis(axes: Axes, value: float) -> float:
    share = axes.transAxes.inverted().transform(axes.transData.transform((1.0, value)))[1]
    return min(1.0, max(0.0, float(share)))


def _inches(axes: Axes) -> float:
    """Approximate height of a panel's axis; the exact height depends on the layout, and the layout on the labels."""
    place, figure = axes.get_subplotspec(), axes.get_figure(root=True)
    assert place is not None
    assert figure is not None
    return AXIS_SHARE * figure.get_figheight() / place.get_gridspec().nrows


def spread(heights: list[float], gap: float) -> list[float]:
    """Move ascending heights in [0, 1] apart by at least a gap: first upwards, then back down below 1."""
    places: list[float] = []
    for height in heights:
        places.append(max(height, places[-1] + gap) if places else height)
    limit = 1.0
    for index in reversed(range(len(places))):
        places[index] = min(places[index], limit)
        limit = places[index] - gap
    return places


def _ink(style: LineStyle) -> str:
    """The curve's colour, darkened until small text in it is readable on white."""
    red, green, blue = to_rgb(style.color)
    while 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.4:
        red, green, blue = 0.9 * red, 0.9 * green, 0.9 * blue
    return to_hex((red, green, blue))
