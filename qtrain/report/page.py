"""The page: sections, their tables, pictures, texts and provenance, through a template that escapes everything."""

import json
from dataclasses import dataclass
from itertools import groupby

import jinja2
from markupsafe import Markup

from qtrain.report.collect import Environment, Run, Sample, Section
from qtrain.report.curves import SMOOTHING
from qtrain.report.names import estimator_name
from qtrain.report.plots import section_svg
from qtrain.report.prose import intro
from qtrain.report.summary import ResultTable, result_table
from qtrain.report.text import number, shortened, visible
from qtrain.run_folder import ESCAPED

TEMPLATE = "template.html.j2"


@dataclass(frozen=True)
class SampleTable:
    """Texts of one evaluation, grouped by prompt; `right` and `total` count the hard prompts where there are any."""

    step: int
    right: int
    total: int
    prompts: list[list[Sample]]


@dataclass(frozen=True)
class SampleView:
    """Texts of one run: before training and, where it got that far, at its last evaluation."""

    name: str
    seed: int
    diverged_step: int | None
    before: SampleTable
    after: SampleTable | None


@dataclass(frozen=True)
class SectionView:
    """A section as the template needs it."""

    id: str
    section: Section
    intro: str
    seeds: int
    table: ResultTable
    svg: Markup
    alt: str
    samples: list[SampleView]
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
    templates.filters |= {"shortened": shortened, "number": number}
    return templates.get_template(TEMPLATE).render(
        views=[_view(section, f"s{index}") for index, section in enumerate(sections, start=1)],
        command=command,
        escaped=ESCAPED,
        smoothing=SMOOTHING,
    )


def _view(section: Section, name: str) -> SectionView:
    names = ", ".join(map(estimator_name, section.by_estimator))
    return SectionView(
        id=name,
        section=section,
        intro=intro(section),
        seeds=len({run.result.seed for run in section.runs}),
        table=result_table(section),
        svg=Markup(section_svg(section, name)),  # drawn here; names in it are glyph outlines
        alt=f"Success p@1 and batch P against the training step for {names}; the numbers are in the table.",
        samples=[_samples(name, runs[0]) for name, runs in section.by_estimator.items() if runs[0].samples],
        environments=_environments(section),
        config=json.dumps(section.config, indent=2, ensure_ascii=False),
    )


def _samples(estimator: str, run: Run) -> SampleView:
    """The texts of one run; those of the other seeds stay in their folders."""
    steps = sorted({sample.step for sample in run.samples})
    tables = [_sample_table(run, step) for step in dict.fromkeys((steps[0], steps[-1]))]
    return SampleView(
        estimator_name(estimator),
        run.result.seed,
        run.result.diverged_step,
        tables[0],
        tables[1] if len(tables) > 1 else None,
    )


def _sample_table(run: Run, step: int) -> SampleTable:
    samples = [sample for sample in run.samples if sample.step == step]
    counted = [sample for sample in samples if not sample.easy] or samples
    pools = [list(pool) for _, pool in groupby(samples, key=lambda sample: (sample.prompt, sample.gold))]
    return SampleTable(step, sum(sample.success for sample in counted), len(counted), pools)


def _environments(section: Section) -> list[Environment]:
    """The distinct ones: a comparison that was resumed may have seen several commits or machines."""
    found: dict[str, Environment] = {}
    for one in [section.environment, *(run.environment for run in section.runs)]:
        found.setdefault(json.dumps(one.model_dump(exclude={"command"})), one)
    return list(found.values())
