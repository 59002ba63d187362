"""The page: sections, their tables, curves, texts and provenance, through a template that escapes everything."""

import json
from dataclasses import dataclass

import jinja2
from markupsafe import Markup

from qtrain.report.charts import Line, chart_data, lines, reduced
from qtrain.report.curves import SMOOTHING
from qtrain.report.differences import Difference, differences
from qtrain.report.intervals import LEVEL
from qtrain.report.measures import SOURCES
from qtrain.report.notices import Notice, notices, unlogged
from qtrain.report.prose import intro
from qtrain.report.records import Environment, Section
from qtrain.report.reduce import GROUPS, LONGEST
from qtrain.report.samples import sample_data
from qtrain.report.scripts import data_element, policy, script_elements
from qtrain.report.summary import ResultTable, result_table
from qtrain.report.text import shortened, visible
from qtrain.runs.folder import ESCAPED

TEMPLATE = "template.html.j2"


@dataclass(frozen=True)
class SectionView:
    """A section as the template needs it."""

    id: str
    section: Section
    intro: str
    seeds: int
    table: ResultTable
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
        sections: In the order in which they stand.
        command: The one that makes the page.
    """
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("qtrain.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # What stands in a run folder is whatever a model said: no string reaches the page unseen.
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    templates.filters["shortened"] = shortened
    return templates.get_template(TEMPLATE).render(
        views=[_view(section, f"s{index}") for index, section in enumerate(sections, start=1)],
        differences=_differences(sections),
        command=command,
        policy=policy(),
        scripts=script_elements(),
        escaped=ESCAPED,
        smoothing=SMOOTHING,
        level=LEVEL,
        longest=LONGEST,
        groups=sum(GROUPS),
    )


def _view(section: Section, name: str) -> SectionView:
    common, series = chart_data(section)
    said = sample_data(section)
    measures = [
        (words, [(index, one["label"]) for index, one in enumerate(common["measures"]) if one["source"] == source])
        for source, words in SOURCES.items()
    ]
    return SectionView(
        id=name,
        section=section,
        intro=intro(section),
        seeds=len({run.result.seed for run in section.runs}),
        table=result_table(section),
        lines=lines(section),
        measures=[group for group in measures if group[1]],
        shown=common["first"],
        reduced=reduced(section),
        sample_runs=said["runs"] if said else [],
        all_samples=said is None or said["all"],
        data=[
            data_element(f"{name}-curves", common),
            *(data_element(f"{name}-m{index}", one) for index, one in enumerate(series)),
            *([data_element(f"{name}-samples", said)] if said else []),
        ],
        notices=notices(section),
        unlogged=unlogged(section),
        environments=_environments(section),
        config=json.dumps(section.config, indent=2, ensure_ascii=False),
    )


def _differences(sections: list[Section]) -> list[Difference]:
    """None where there is one run alone."""
    return differences(sections) if sum(len(section.runs) for section in sections) > 1 else []


def _environments(section: Section) -> list[Environment]:
    """The distinct ones: a comparison that was resumed may have seen several commits or machines."""
    found: dict[str, Environment] = {}
    for one in [section.environment, *(run.environment for run in section.runs)]:
        found.setdefault(json.dumps(one.model_dump(exclude={"command"})), one)
    return list(found.values())
