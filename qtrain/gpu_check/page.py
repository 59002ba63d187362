"""The check as a page of the docs: what each stage does, and its result, or that it has not run."""

from typing import Any

from qtrain.gpu_check.stages import STAGES

COMMAND = "qtrain gpu-check --out runs/gpu-check --page docs/gpu-check.md"


def page(results: dict[str, dict[str, Any]]) -> str:
    """The page, as Markdown.

    Args:
        results: Of the stages that have run, by name: `machine`, `settings` and `result` each.
    """
    lines = ["# On a GPU", "", *_state(results), ""]
    lines += ["```sh", COMMAND, "```", ""]
    lines += [
        "This runs what is missing of the stages below, one after the other, on the first GPU; `--only` picks some. "
        "Interrupted, it goes on from its last checkpoints when the same command is given again. `gpu-check.json` in "
        "the folder holds all numbers, `qtrain report` draws the curves of its folders `escape` and `multi_hop`. "
        "The harness itself is tried without a GPU by",
        "",
        "```sh",
        "qtrain gpu-check --out runs/gpu-check-tiny --device cpu --size tiny",
        "```",
    ]
    for name, stage in STAGES.items():
        lines += ["", f"## {stage.title}", "", f"Stage `{name}`. {stage.about}", ""]
        if name in results:
            lines += [*_provenance(results[name]), "", *stage.show(results[name]["result"])]
        else:
            lines += ["**This stage has not run.**"]
    return "\n".join(lines) + "\n"


def _state(results: dict[str, dict[str, Any]]) -> list[str]:
    if not results:
        return [
            "**Nothing on this page has run on a GPU yet.** No GPU was at hand where this release was made: its code "
            "was tested on CPUs alone, and every number elsewhere in these docs is from CPUs. Whoever has one:"
        ]
    toy = any(one["settings"] != {"device": "cuda", "size": "full"} for one in results.values())
    return [
        "**These are not results.** A harness tried out at toy size or on a CPU wrote this page; made by"
        if toy
        else "What can only be shown on a GPU, made by"
    ]


def _provenance(one: dict[str, Any]) -> list[str]:
    machine, settings = one["machine"], one["settings"]
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    memory = f", {machine['memory_gib']} GiB" if machine["memory_gib"] else ""
    driver = f", driver {machine['driver']}" if machine["driver"] else ""
    cuda = f", CUDA {machine['cuda']}" if machine["cuda"] else ""
    return [
        f"{machine['device']}{memory}{driver}{cuda}; size {settings['size']}; Python {machine['python']}, {libraries}; "
        f"commit {machine['commit']}; `{machine['command']}`."
    ]
