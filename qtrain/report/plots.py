"""The pictures: two panels per section for the page (SVG), one panel per section for the overview (PNG)."""

import io
import math
import re
from collections.abc import Callable, Iterator

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qtrain.report.collect import ESCAPED, Run, Section
from qtrain.report.curves import Curve, probability_curve, success_curve
from qtrain.report.names import short_name
from qtrain.report.palette import LineStyle, line_style
from qtrain.report.text import visible

STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same bytes on every machine
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.labelcolor": "#222222",
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "text.parse_math": False,  # names are data
    "svg.fonttype": "path",
    "svg.hashsalt": "qcontinuum",
}
STEP_LABEL = "training step (log axis, 0 at its left end)"
LABEL_GAP = 0.062
"""Least distance between two labels at the curves' ends, as a share of the axis."""


def section_svg(section: Section, prefix: str) -> str:
    """The two panels of a section: success, and P of the training batches.

    Args:
        section: What to draw.
        prefix: Put before every id, so that several pictures can stand in one page.

    Returns:
        An <svg> element.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 3.9), layout="constrained")
        left, right = figure.subplots(1, 2)
        draw_success(left, section)
        left.set_title("success on held-out prompts, p@1")
        _draw(right, section, probability_curve, markers=False)
        right.set_yscale("log")
        right.set_title("P of the training batches (log axis)")
        right.axhline(ESCAPED, color="#777777", linewidth=0.8, linestyle=":")
        _label_ends(right, section, probability_curve)
        svg = io.StringIO()
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    return _inline(svg.getvalue(), prefix)


def overview_png(sections: list[Section]) -> bytes:
    """One panel of success per section side by side, 1600 x 900 pixels up to three of them."""
    columns = min(3, len(sections))
    rows = math.ceil(len(sections) / columns)
    with mpl.rc_context(STYLE | {"font.size": 10.5, "axes.titlesize": 13}):
        figure = Figure(figsize=(12.8, 7.2 * max(1, rows / 2)), dpi=125, layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).flat
        for section, axes in zip(sections, panels, strict=False):
            draw_success(axes, section)
            axes.set_title(f"{visible(section.title)}\n{visible(conditions(section))}", linespacing=1.4)
            axes.title.set_fontsize(11.5)
        for axes in list(panels)[len(sections) :]:
            axes.set_axis_off()
        figure.supylabel("success on held-out prompts, p@1", fontsize=11)
        png = io.BytesIO()
        figure.savefig(png, format="png", metadata={"Software": None})
    return png.getvalue()


def conditions(section: Section) -> str:
    """Optimiser, learning rate and what P was, in a few words."""
    optimizer = section.config["optimizer"]
    p0 = section.config.get("pretrain", {}).get("p0")
    words = [str(optimizer["name"]).upper().replace("ADAMW", "AdamW"), f"lr {optimizer['lr']:g}"]
    return ", ".join([*words, *([f"P {p0:g} at first"] if p0 else [])])


def draw_success(axes: Axes, section: Section) -> None:
    """Success against step of every estimator, with names at the curves' ends."""
    _draw(axes, section, success_curve, markers=True)
    highest = max((one.p_at_1 for run in section.runs for one in run.evals), default=0.0)
    top = 1.0 if highest > 0.5 else max(0.05, 1.2 * highest)
    axes.set_ylim(-0.02 * top, top * 1.02)
    _label_ends(axes, section, success_curve)


def _draw(axes: Axes, section: Section, curve_of: Callable[[list[Run]], Curve], *, markers: bool) -> None:
    last = 1.0
    for style, _, runs, curve in _curves(section, curve_of):
        if not len(curve.steps):
            continue
        last = max(last, curve.steps[-1])
        marker = style.marker if markers else None
        axes.plot(
            curve.steps, curve.mean, color=style.color, linestyle=style.dashes, linewidth=1.8,
            marker=marker, markersize=4.5, markeredgewidth=1.2,
        )  # fmt: skip
        axes.fill_between(curve.steps, curve.low, curve.high, color=style.color, alpha=0.16, linewidth=0)
        if any(run.result.diverged_step is not None for run in runs):
            axes.plot(curve.steps[-1], curve.mean[-1], color="#c1121f", marker="X", markersize=9)
    axes.set_xscale("symlog", linthresh=1, linscale=0.3)
    axes.set_xlim(0, last * 1.04)
    ticks = [0, *(10**power for power in range(int(math.log10(last)) + 1))]
    ticks += [int(last)] if last > 2 * ticks[-1] else []
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlabel(STEP_LABEL)


def _curves(
    section: Section, curve_of: Callable[[list[Run]], Curve]
) -> Iterator[tuple[LineStyle, str, list[Run], Curve]]:
    for estimator, runs in section.by_estimator.items():
        yield line_style(estimator, runs[0].result.q), visible(short_name(estimator)), runs, curve_of(runs)


def _label_ends(axes: Axes, section: Section, curve_of: Callable[[list[Run]], Curve]) -> None:
    """Write each estimator's name beside the end of its curve, moved apart where ends meet."""
    ends = [
        (float(_share_of_axis(axes, curve.mean[-1])), style, name)
        for style, name, _, curve in _curves(section, curve_of)
        if len(curve.steps)
    ]
    ends.sort(key=lambda end: end[0])  # stable: equal ends keep the table's order, upwards
    for (height, style, name), place in zip(ends, spread([end[0] for end in ends]), strict=True):
        axes.plot(
            [1.0, 1.03], [height, place], transform=axes.transAxes, color=style.color, linewidth=0.8, clip_on=False
        )
        axes.text(1.04, place, name, transform=axes.transAxes, color=_ink(style), va="center", fontsize="small")


def _share_of_axis(axes: Axes, value: float) -> float:
    return axes.transAxes.inverted().transform(axes.transData.transform((1.0, value)))[1]


def spread(heights: list[float]) -> list[float]:
    """Move ascending heights in [0, 1] apart by at least LABEL_GAP, upwards first, then back below the top."""
    places: list[float] = []
    for height in heights:
        places.append(max(height, places[-1] + LABEL_GAP) if places else height)
    limit = 1.0
    for index in reversed(range(len(places))):
        places[index] = min(places[index], limit)
        limit = places[index] - LABEL_GAP
    return places


def _ink(style: LineStyle) -> str:
    """The curve's colour, darkened until small type in it can be read on white."""
    rgb = np.array(mpl.colors.to_rgb(style.color))
    while rgb @ (0.2126, 0.7152, 0.0722) > 0.4:
        rgb = rgb * 0.9
    return mpl.colors.to_hex(rgb)


def _inline(svg: str, prefix: str) -> str:
    """An SVG file as an element of a page: no prolog, no metadata, ids of its own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)
