"""Render the page as one HTML file that runs from the disk: scripts and data are inlined, and text is escaped."""

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from qtrain.report.aggregation import GROUPS, LEVEL, MAX_POINTS, SMOOTHING
from qtrain.report.charts import Line, chart_data, is_thinned, lines
from qtrain.report.labels import shortened, visible
from qtrain.report.measures import SOURCES
from qtrain.report.records import Environment, Section
from qtrain.report.samples import sample_data
from qtrain.report.summary import (
    Notice,
    ResultTable,
    collapse_table,
    differences,
    intro,
    notices,
    result_table,
    unlogged,
)
from qtrain.runs.folder import ESCAPED

TEMPLATE = "template.html.j2"
OWN_SCRIPTS = ("curves.js", "samples.js")


@dataclass(frozen=True)
class SectionView:
    """A section's data in the form that the template reads."""

    id: str
    section: Section
    intro: str
    seeds: int
    table: ResultTable
    collapse: ResultTable | None
    lines: list[Line]
    measures: list[tuple[str, list[tuple[int, str]]]]
    shown: list[int]
    reduced: bool
    sample_runs: list[str]
    all_samples: bool
    data: list[Markup]
    notices: list[Notice]
    unlogged: int
    environments: list[Environment]
    config: str


def render_page(sections: list[Section], command: str) -> str:
    """The page as HTML. Equal input gives equal bytes.

    Args:
        sections: In the order of the page.
        command: The command line that writes the page.
    """
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("qtrain.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Run folders hold whatever a model wrote: no invisible character reaches the page.
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    templates.filters["shortened"] = shortened
    return templates.get_template(TEMPLATE).render(
        views=[_view(section, f"s{index}") for index, section in enumerate(sections, start=1)],
        differences=differences(sections),
        command=command,
        policy=security_policy(),
        scripts=script_elements(),
        escaped=ESCAPED,
        smoothing=SMOOTHING,
        level=LEVEL,
        longest=MAX_POINTS,
        groups=sum(GROUPS),
    )


def _view(section: Section, name: str) -> SectionView:
    common, series = chart_data(section)
    samples = sample_data(section)
    measures = [
        (
            title,
            [(index, entry["label"]) for index, entry in enumerate(common["measures"]) if entry["source"] == source],
        )
        for source, title in SOURCES.items()
    ]
    return SectionView(
        id=name,
        section=section,
        intro=intro(section),
        seeds=len({run.result.seed for run in section.runs}),
        table=result_table(section),
        collapse=collapse_table(section),
        lines=lines(section),
        measures=[group for group in measures if group[1]],
        shown=common["first"],
        reduced=is_thinned(section),
        sample_runs=samples["runs"] if samples else [],
        all_samples=samples is None or samples["all"],
        data=[
            data_element(f"{name}-curves", common),
            *(data_element(f"{name}-m{index}", points) for index, points in enumerate(series)),
            *([data_element(f"{name}-samples", samples)] if samples else []),
        ],
        notices=notices(section),
        unlogged=unlogged(section),
        environments=_environments(section),
        config=json.dumps(section.config, indent=2, ensure_ascii=False),
    )


def _environments(section: Section) -> list[Environment]:
    """The distinct environments: the runs of a resumed comparison may have several commits or machines."""
    distinct: dict[str, Environment] = {}
    for environment in [section.environment, *(run.environment for run in section.runs)]:
        distinct.setdefault(json.dumps(environment.model_dump(exclude={"command"})), environment)
    return list(distinct.values())


@cache
def scripts() -> tuple[str, ...]:
    """Plotly's bundle, as its Python package ships it, and the page's own scripts."""
    from plotly.offline import get_plotlyjs

    own = [resources.files("qtrain.report").joinpath(name).read_text(encoding="utf-8") for name in OWN_SCRIPTS]
    return tuple(_embeddable(text) for text in (get_plotlyjs(), *own))


def script_elements() -> Markup:
    """The scripts as HTML elements."""
    return Markup("\n").join(Markup(f"<script>{text}</script>") for text in scripts())


def security_policy() -> str:
    """The page's content security policy: only these scripts run, and nothing is loaded from elsewhere."""
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts()]
    rules = {
        "default-src": "'none'",
        "script-src": " ".join(f"'sha256-{digest}'" for digest in hashes),
        "style-src": "'unsafe-inline'",
        "img-src": "data: blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def data_element(name: str, value: Any) -> Markup:
    """Embed JSON for the scripts. It is ASCII, and no < in it can close the element or open another.

    Args:
        name: The element's id.
        value: Finite numbers, strings, lists and dictionaries.
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", r"\u003c")
    return Markup(f'<script type="application/json" id="{name}">{text}</script>')


def _embeddable(script: str) -> str:
    """Escape what HTML would read as the element's end or a comment's begin; JavaScript has both only in strings."""
    return re.sub(r"<(/script|!--)", r"\\x3c\1", script.replace("\r\n", "\n"), flags=re.IGNORECASE)
