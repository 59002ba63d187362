"""Suite `update`: seconds and memory of one update against TRL's, and against whole padded rows."""

import math
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from figures.bench.case import Case, Options, Result, program
from figures.bench.flops import plain_flops, update_flops, utilisation
from figures.bench.run import Results
from figures.bench.workload import QWEN3_0_6B, ModelSize, Shape

OURS = "qtrain"
SHAPES = (Shape(128, 32), Shape(512, 128), Shape(1500, 200), Shape(1500, 1000))
VOCABULARIES = (32_000, 151_936)
TOY = ModelSize(vocabulary=500, layers=2, width=32, intermediate=96, heads=2, key_value_heads=1, head_dim=16)
LONG = 60_000
"""Tokens of all rows together beyond which, unless --shapes asks for it, TRL is left out for its time."""

HEAD = {"TRL, best settings": 4e9, "TRL as shipped": 2e9}
"""Such tokens times the vocabulary beyond which, likewise, TRL is left out where its head runs over the prompt too."""

_PLAIN_ROWS = (8, 1)
"""The fastest, and the one with the least memory, which is run at the larger vocabulary alone."""

_TRL_ROWS = 8
"""Its default per_device_train_batch_size."""


def trl_options(samples: int, rows: int) -> dict[str, Any]:
    """A group of `samples` in micro-batches of `rows`: one update."""
    rows = min(rows, samples)
    return {"per_device_train_batch_size": rows, "gradient_accumulation_steps": samples // rows}


def contenders(shape: Shape, device: str, *, smallest: bool) -> list[tuple[str, str | None, dict[str, Any]]]:
    """Name, whose environment, and settings of everybody who takes part at a shape.

    As shipped means: TRL's defaults, but for what the shape forces (group, lengths, micro-batches that add up to the
    group) and, on a CPU, for bfloat16, which most of them only emulate: that is measured once, at the smallest shape.
    """
    cpu = device == "cpu"
    plain = _PLAIN_ROWS if shape.model.vocabulary > VOCABULARIES[0] else _PLAIN_ROWS[:1]
    shipped = trl_options(shape.samples, _TRL_ROWS)
    best = shipped | {
        "gradient_checkpointing": False,
        "loss_type": "dr_grpo",
    }
    exact = {"bf16": False} if cpu else {}
    found: list[tuple[str, str | None, dict[str, Any]]] = [
        (OURS, None, {"contender": OURS}),
        *((f"plain, {rows} row{'s' * (rows > 1)}", None, {"contender": "plain", "rows": rows}) for rows in plain),
        ("TRL, best settings", "trl", {"contender": "trl", "options": best | exact}),
        ("TRL as shipped", "trl", {"contender": "trl", "options": shipped | exact}),
    ]
    if cpu:
        found.insert(3, ("TRL, best settings, patched", "trl", {"contender": "trl-compact", "options": best | exact}))
    if cpu and smallest:
        found.append(("TRL as shipped, bfloat16", "trl", {"contender": "trl", "options": shipped}))
    return found


def shapes(options: Options) -> list[Shape]:
    """Every shape and vocabulary."""
    if options.quick and not options.shapes:
        return [Shape(24, 16, samples=4, answer=4, model=TOY)]
    if options.device == "cuda" and not options.shapes:
        return [Shape(1500, completion, answer=16, model=QWEN3_0_6B) for completion in (1000, 3000)]
    sizes = options.vocabularies or VOCABULARIES
    return [shape.with_vocabulary(size) for size in sizes for shape in options.shapes or SHAPES]


def cases(options: Options, folder: Path) -> list[Case]:
    """What to run.

    Args:
        options: Of the command line.
        folder: Where gradients are kept until the contest is over.
    """
    made = []
    every = shapes(options)
    for shape in every:
        contest = f"update {shape} vocabulary {shape.model.vocabulary}"
        for name, peer, settings in contenders(shape, options.device, smallest=shape == every[0]):
            if not options.shapes and options.device == "cpu" and _too_slow(shape, name, peer):
                continue
            module = "update" if peer is None else "trl_update"
            every_setting = {
                "shape": asdict(shape),
                "device": options.device,
                "dtype": "bfloat16" if options.device == "cuda" else "float32",
                "threads": options.threads,
                "estimator": "garl:q=0.75",
                "spread": 1.0,
                "updates": 3 if name == OURS or (peer is None and shape.prompt < LARGE) else 1,
                "profile": shape in (PROFILED if peer is None else PROFILED[:1]) and name != "TRL as shipped",
                "gradient": str(folder / f"{contest.replace(' ', '-')}.safetensors"),
                **settings,
            }
            made.append(
                Case(contest, name, program(module), every_setting, peer, rounds=1 if name.endswith("bfloat16") else 2)
            )
    return made


PROFILED = (Shape(512, 128), Shape(1500, 200))
"""Where contenders are profiled; TRL at the first alone, for its time."""

LARGE = 1000
"""Prompt's length from which on one update a turn is timed."""


def _too_slow(shape: Shape, name: str, peer: str | None) -> bool:
    tokens = shape.samples * (shape.prompt + shape.completion)
    return peer is not None and (tokens > LONG or tokens * shape.model.vocabulary > HEAD.get(name, math.inf))


def rows(cases: Iterable[Case], results: Results) -> list[dict[str, Any]]:
    """One a contender and shape: medians, and ratios to this project's."""
    made = []
    for case in cases:
        turns = results[case.contest][case.name]
        ours = summary(results[case.contest][OURS])
        mine = summary(turns)
        assert case.settings is not None
        shape = case.settings["shape"]
        card = next((one["gpu"] for one in turns if "gpu" in one), None)
        made.append(
            {
                "contest": case.contest,
                "name": case.name,
                "prompt": shape["prompt"],
                "completion": shape["completion"],
                "samples": shape["samples"],
                "vocabulary": shape["model"]["vocabulary"],
                "options": case.settings.get("options"),
                **mine,
                "utilisation": card and mine["seconds"] and utilisation(Shape.of(shape), mine["seconds"], card),
                "flops": update_flops(Shape.of(shape)),
                "plain_flops": plain_flops(Shape.of(shape)),
                "times": _ratio(mine["seconds"], ours["seconds"]),
                "times_memory": _ratio(mine["bytes"], ours["bytes"]),
                "profile": next((one["profile"] for one in turns if one.get("profile")), None),
                "gradient_error": next((one["gradient_error"] for one in turns if "gradient_error" in one), None),
                "gradient_scale": next((one["gradient_scale"] for one in turns if "gradient_scale" in one), None),
            }
        )
    return made


def summary(turns: list[Result]) -> dict[str, Any]:
    """Medians over all timed calls of all turns; the largest peak."""
    failed = next((one["failed"] for one in turns if "failed" in one), None)
    seconds = [second for one in turns if "failed" not in one for second in one["seconds"]]
    peaks = [one["peak_bytes"] - one["base_bytes"] for one in turns if "failed" not in one]
    return {
        "seconds": median(seconds) if seconds else None,
        "fastest": min(seconds, default=None),
        "slowest": max(seconds, default=None),
        "updates": len(seconds),
        "bytes": max(peaks, default=None),
        "failed": failed,
    }


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one and other else None
