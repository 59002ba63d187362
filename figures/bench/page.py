"""Render the page of results: a hand-written template with tables, every number read from the results file."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jinja2

from figures.bench.profile import PARTS, VOCABULARY
from qtrain.callbacks import STAGES

PAGE, TEMPLATE = "benchmarks.md", "benchmarks.md.j2"
NONE = "-"


def render(sections: dict[str, Any]) -> str:
    """The page as Markdown; equal results give equal bytes."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=False, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    with_tables = {
        name: {**section, "table": partial(_table, name, section["rows"])} for name, section in sections.items()
    }
    text = environment.get_template(TEMPLATE).render(
        sections=with_tables, profile=profile_table, settings=trl_settings, bounds=bounds_table, provenance=provenance
    )
    return text.rstrip() + "\n"


def tables(sections: dict[str, Any]) -> str:
    """The tables alone, for the terminal."""
    return "\n\n".join(f"## {name}\n\n{_table(name, section['rows'])}" for name, section in sections.items())


def _table(section: str, rows: list[dict[str, Any]]) -> str:
    """A section's table, or the reason of its failure."""
    if len(rows) == 1 and set(rows[0]) == {"failed"}:
        return f"Failed: {rows[0]['failed']}"
    return _TABLES[section.partition("_")[0]](rows)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table whose first columns are aligned left."""
    marks = [":---"] * left + ["---:"] * (len(heads) - left)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, marks, *rows))


def provenance(section: dict[str, Any]) -> str:
    """A line that names the command, commit, machine and libraries of a section."""
    machine = ", ".join(f"{key} {value}" for key, value in section["machine"].items())
    libraries = "; ".join(
        (f"{name}: " if name != "here" else "") + ", ".join(f"{key} {value}" for key, value in versions.items())
        for name, versions in section["libraries"].items()
    )
    whole = "" if section["whole"] else " Not the whole measurement, but a part of it or toy sizes."
    left_out = "".join(f" Left out: {line}." for line in section["left_out"])
    threads = f"{section['threads']} thread{'s' * (section['threads'] != 1)}"
    # Results store the command as it was called at the time; the page shows today's name of it.
    command = re.sub(r"^qtrain bench", "python -m figures bench", section["command"])
    return (
        f"Made by `{command}` at commit `{section['commit']}`, {threads}; {machine}"
        f"{'; ' if libraries else ''}{libraries}.{whole}{left_out}"
    )


def number(value: float | None, digits: int = 3) -> str:
    """A number with `digits` significant digits, without an exponent between 1e-3 and 1e6."""
    if value is None:
        return NONE
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.{digits - 1}e}"
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e" in text else text


def gigabytes(value: float | None) -> str:
    """Bytes in GB, 10^9."""
    return NONE if value is None else f"{value / 1e9:.2f}"


def update_table(rows: list[dict[str, Any]]) -> str:
    """Seconds and memory of every contender at every shape; on a GPU the share of its peak too."""
    on_gpu = any(row["utilisation"] is not None for row in rows)
    heads = ["P, R", "vocabulary", "contender", "s", "of so many", "s, times ours", "GB", "GB, times ours"]
    heads += ["gradient's error", *(["MFU"] if on_gpu else [])]
    cells = []
    for row in rows:
        timed = str(row["updates"])
        if row["updates"] > 1:
            timed += f": {number(row['fastest'])} to {number(row['slowest'])}"
        lengths = [f"{row['prompt']}, {row['completion']}", str(row["vocabulary"])]
        if row["failed"]:
            cells.append([*lengths, row["name"], row["failed"].replace("|", "/"), *[NONE] * (len(heads) - 4)])
            continue
        measured = row["gradient_error"]
        # Below 1e-8 there is only rounding: see compare_gradient.
        error = NONE if measured is None else "< 1e-08" if measured < 1e-8 else f"{measured:.0e}"
        values = [number(row["seconds"]), timed, number(row["times"]), gigabytes(row["bytes"])]
        share = [NONE if row["utilisation"] is None else f"{row['utilisation']:.1%}"] if on_gpu else []
        cells.append([*lengths, row["name"], *values, number(row["times_memory"]), error, *share])
    return table(heads, cells, 3)


def step_table(rows: list[dict[str, Any]]) -> str:
    """Seconds, tokens a second, memory and utilisation of whole training steps by estimator."""
    heads = ["estimator", "s a step", "first step, s", "rows trained", "sampled tokens/s", "trained tokens/s"]
    heads += ["GB", "GB, first step", "MFU, measured peak", "MFU, data sheet"]
    cells = []
    for row in rows:
        if row["failed"]:
            cells.append([row["name"], row["failed"].replace("|", "/"), *[NONE] * (len(heads) - 2)])
            continue
        shares = [row["utilisation_measured"], row["utilisation_data_sheet"]]
        cells.append(
            [
                row["name"],
                *(number(row[name]) for name in ("seconds", "first_step_seconds", "rows")),
                *(number(row[name]) for name in ("tokens_per_second", "trained_tokens_per_second")),
                *(gigabytes(row[name]) for name in ("bytes", "first_bytes")),
                *(NONE if share is None else f"{share:.1%}" for share in shares),
            ]
        )
    return table(heads, cells)


def profile_table(rows: list[dict[str, Any]]) -> str:
    """Seconds of one profiled update by part."""
    cells = [
        [str(row["prompt"]), str(row["completion"]), str(row["vocabulary"]), row["name"]]
        + [number(row["profile"][part]) for part in PARTS]
        for row in rows
        if row["profile"]
    ]
    heads = [{VOCABULARY: "head, embeddings"}.get(part, part) for part in PARTS]
    return table(["P", "R", "vocabulary", "contender", *heads], cells, 4)


def bounds_table(rows: list[dict[str, Any]]) -> str:
    """FLOPs of this project's update by shape, and of an update that runs whole rows as a multiple of them."""
    by_contest = {}
    for row in rows:
        lengths = [str(row[name]) for name in ("prompt", "completion", "vocabulary")]
        by_contest[row["contest"]] = [*lengths, number(row["flops"] / 1e9), number(row["plain_flops"] / row["flops"])]
    return table(["P", "R", "vocabulary", "ours, 10^9", "plain, times ours"], list(by_contest.values()), 3)


def trl_settings(rows: list[dict[str, Any]]) -> str:
    """A list of the options passed to TRL, besides the lengths, one line a contender."""
    settings: dict[str, str] = {}
    for row in rows:
        if row["options"]:
            settings.setdefault(row["name"], ", ".join(f"`{key}={value}`" for key, value in row["options"].items()))
    return "\n".join(f"- {name}: {options}" for name, options in settings.items())


def paft_table(rows: list[dict[str, Any]]) -> str:
    """Rationales trained, seconds and saving by the spread of the weights."""
    heads = ["spread of log w, nats", "exp(entropy of the weights)", "rationales trained", "s", "saving", "GB"]
    cells = [
        [
            "every draw trained" if index == 0 else number(row["spread"]),
            NONE if index == 0 else number(row["effective"]),
            f"{row['trained']} of {row['samples']}",
            number(row["seconds"]),
            number(row["saving"]),
            gigabytes(row["bytes"]),
        ]
        for index, row in enumerate(rows)
    ]
    return table(heads, cells)


def rollout_table(rows: list[dict[str, Any]]) -> str:
    """Tokens a second by contender and kind of lengths."""
    heads = ["lengths", "", "mean length", "sampled tokens a second", "times generate()"]
    cells = [
        [
            row["kind"],
            row["name"],
            number(row["mean_length"]),
            (row["failed"] or "").replace("|", "/") or number(row["tokens_per_second"]),
            number(row["times_generate"]),
        ]
        for row in rows
    ]
    return table(heads, cells, 2)


def growth_table(rows: list[dict[str, Any]]) -> str:
    """Fitted exponents of growth, and the measured values."""
    heads = ["what grows", "seconds at 1, 2, 4 times", "exponent", "GB", "exponent"]
    cells = [
        [
            row["axis"],
            ", ".join(map(number, row["seconds"])),
            number(row["seconds_exponent"], 2),
            ", ".join(map(gigabytes, row["bytes"])),
            number(row["bytes_exponent"], 2),
        ]
        for row in rows
    ]
    return table(heads, cells)


def exact_table(rows: list[dict[str, Any]]) -> str:
    """Cells a second of the exact moments, and the time of a simulation as a multiple of theirs."""
    heads = ["moments of", "cells a second", "simulation, times as long to 1e-3", "to 1e-12"]
    cells = [
        [row["what"], number(row["cells_per_second"]), *(f"{ratio:.1e}" for ratio in row["ratio"])] for row in rows
    ]
    return table(heads, cells)


def demo_table(rows: list[dict[str, Any]]) -> str:
    """Time by stage: of the whole demo in seconds, of a kind of run in milliseconds a step."""
    whole, *kinds = rows
    names = [*STAGES, "rest"]
    heads = ["stage", "whole demo, s", "share", *(f"{kind['name'].split(', ')[1]}, ms a step" for kind in kinds)]
    cells = [
        [name, number(whole["stages"][name]), f"{whole['stages'][name] / whole['seconds']:.0%}"]
        + [number(1e3 * kind["stages"][name]) for kind in kinds]
        for name in names
    ]
    total = ["all runs", number(whole["seconds"]), "100%", *(number(1e3 * kind["seconds"]) for kind in kinds)]
    return table(heads, [*cells, total])


_TABLES = {
    "update": update_table,
    "step": step_table,
    "paft": paft_table,
    "rollout": rollout_table,
    "growth": growth_table,
    "exact": exact_table,
    "demo": demo_table,
}
