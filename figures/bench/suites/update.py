"""Suite `update`: seconds and memory of one update against TRL's, and against whole padded rows."""

import math
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from figures.bench.case import Case, Options, Result, program
from figures.bench.run import Results
from figures.bench.utilisation import plain_flops, update_flops, utilisation
from figures.bench.workload import QWEN3_0_6B, ModelSize, Shape

OURS = "qtrain"
SHAPES = (Shape(128, 32), Shape(512, 128), Shape(1500, 200), Shape(1500, 1000))
VOCABULARIES = (32_000, 151_936)
TOY = ModelSize(vocabulary=500, layers=2, width=32, intermediate=96, heads=2, key_value_heads=1, head_dim=16)
LONG = 60_000
"""Above this number of tokens in all rows together, TRL is left out as too slow, unless --shapes asks for it."""

HEAD = {"TRL, best settings": 4e9, "TRL as shipped": 2e9}
"""The same limit on tokens times vocabulary, for the contenders whose head runs over the prompt too."""

_PLAIN_ROWS = (8, 1)
"""Rows per pass: 8 is fastest; 1 needs the least memory and is run at the larger vocabulary alone."""

_TRL_ROWS = 8
"""TRL's default per_device_train_batch_size."""


def trl_options(samples: int, rows: int) -> dict[str, Any]:
    """TRL's options for one update on a group of `samples` in micro-batches of `rows`."""
    rows = min(rows, samples)
    return {"per_device_train_batch_size": rows, "gradient_accumulation_steps": samples // rows}


def contenders(shape: Shape, device: str, *, smallest: bool) -> list[tuple[str, str | None, dict[str, Any]]]:
    """Name, peer (see `Case`) and settings of every contender at a shape.

    "As shipped" means TRL's defaults except for the sizes that the shape sets (group, lengths, micro-batches that add
    up to the group) and, on a CPU, for bfloat16: most CPUs only emulate it, so it is measured once, at the smallest
    shape.
    """
    cpu = device == "cpu"
    plain = _PLAIN_ROWS if shape.model.vocabulary > VOCABULARIES[0] else _PLAIN_ROWS[:1]
    shipped = trl_options(shape.samples, _TRL_ROWS)
    best = shipped | {
        "gradient_checkpointing": False,
        "loss_type": "dr_grpo",
    }
    exact = {"bf16": False} if cpu else {}
    entries: list[tuple[str, str | None, dict[str, Any]]] = [
        (OURS, None, {"contender": OURS}),
        *((f"plain, {rows} row{'s' * (rows > 1)}", None, {"contender": "plain", "rows": rows}) for rows in plain),
        ("TRL, best settings", "trl", {"contender": "trl", "options": best | exact}),
        ("TRL as shipped", "trl", {"contender": "trl", "options": shipped | exact}),
    ]
    if cpu:
        entries.insert(3, ("TRL, best settings, patched", "trl", {"contender": "trl-compact", "options": best | exact}))
    if cpu and smallest:
        entries.append(("TRL as shipped, bfloat16", "trl", {"contender": "trl", "options": shipped}))
    return entries


def shapes(options: Options) -> list[Shape]:
    """Every shape and vocabulary."""
    if options.quick and not options.shapes:
        return [Shape(24, 16, samples=4, answer=4, model=TOY)]
    if options.device == "cuda" and not options.shapes:
        return [Shape(1500, completion, answer=16, model=QWEN3_0_6B) for completion in (1000, 3000)]
    sizes = options.vocabularies or VOCABULARIES
    return [shape.with_vocabulary(size) for size in sizes for shape in options.shapes or SHAPES]


def cases(options: Options, folder: Path) -> list[Case]:
    """Every contender at every shape, except those that are too slow.

    Args:
        options: Options of the command line.
        folder: Holds the gradients until the contest is over.
    """
    jobs = []
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
            jobs.append(
                Case(contest, name, program(module), every_setting, peer, rounds=1 if name.endswith("bfloat16") else 2)
            )
    return jobs


PROFILED = (Shape(512, 128), Shape(1500, 200))
"""Shapes at which contenders are profiled; TRL is profiled at the first alone, to save time."""

LARGE = 1000
"""From this prompt length on, only one update a turn is timed."""


def _too_slow(shape: Shape, name: str, peer: str | None) -> bool:
    tokens = shape.samples * (shape.prompt + shape.completion)
    return peer is not None and (tokens > LONG or tokens * shape.model.vocabulary > HEAD.get(name, math.inf))


def rows(cases: Iterable[Case], results: Results) -> list[dict[str, Any]]:
    """A row per contender and shape: medians, and ratios to this project's."""
    table = []
    for case in cases:
        turns = results[case.contest][case.name]
        ours = summary(results[case.contest][OURS])
        mine = summary(turns)
        assert case.settings is not None
        shape = case.settings["shape"]
        card = next((result["gpu"] for result in turns if "gpu" in result), None)
        table.append(
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
                "profile": next((result["profile"] for result in turns if result.get("profile")), None),
                "gradient_error": next(
                    (result["gradient_error"] for result in turns if "gradient_error" in result), None
                ),
                "gradient_scale": next(
                    (result["gradient_scale"] for result in turns if "gradient_scale" in result), None
                ),
            }
        )
    return table


def summary(turns: list[Result]) -> dict[str, Any]:
    """Medians over all timed calls of all turns; the largest peak."""
    failed = next((result["failed"] for result in turns if "failed" in result), None)
    seconds = [second for result in turns if "failed" not in result for second in result["seconds"]]
    peaks = [result["peak_bytes"] - result["base_bytes"] for result in turns if "failed" not in result]
    return {
        "seconds": median(seconds) if seconds else None,
        "fastest": min(seconds, default=None),
        "slowest": max(seconds, default=None),
        "updates": len(seconds),
        "bytes": max(peaks, default=None),
        "failed": failed,
    }


def _ratio(value: float | None, reference: float | None) -> float | None:
    return value / reference if value and reference else None
