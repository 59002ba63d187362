"""Suite `rollout`: sampled tokens a second of this project's engines and of `model.generate()`."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from figures.bench.case import Case, Options, program
from figures.bench.run import Results
from figures.bench.suites.update import TOY
from figures.bench.workload import Shape

NAMES = {"qtrain": "transformers engine", "generate": "generate()", "vllm": "vLLM engine"}
LENGTHS = {"full": None, "ragged": 0.25}
"""Mean length as a share of the budget: "full" rationales spend all of it, "ragged" ones stop on average earlier."""


def cases(options: Options, _: Path) -> list[Case]:
    """Every contender at both kinds of lengths."""
    shape = Shape(24, 16, samples=4, answer=4, model=TOY) if options.quick else Shape(512, 128)
    return [
        Case(
            f"rollout {shape} {kind}",
            name,
            program("rollout"),
            {
                "contender": contender,
                "shape": asdict(shape),
                "device": options.device,
                "threads": options.threads,
                "mean_length": None if share is None else share * shape.completion,
                "updates": 2,
            },
            peer="vllm" if contender == "vllm" else None,
        )
        for kind, share in LENGTHS.items()
        for contender, name in NAMES.items()
        if not (contender == "vllm" and options.quick)  # its attention does not support the toy model's head size
    ]


def rows(cases: Iterable[Case], results: Results) -> list[dict[str, Any]]:
    """A row per contender and kind of lengths."""
    table = []
    for case in cases:
        assert case.settings is not None
        rates = {name: _rates(turns) for name, turns in results[case.contest].items()}
        mine, generate, shape = rates[case.name], rates[NAMES["generate"]], case.settings["shape"]
        table.append(
            {
                "contest": case.contest,
                "kind": case.contest.split()[-1],
                "name": case.name,
                "prompt": shape["prompt"],
                "budget": shape["completion"],
                "samples": shape["samples"],
                "vocabulary": shape["model"]["vocabulary"],
                "tokens_per_second": median(mine) if mine else None,
                "mean_length": _length(results[case.contest][case.name], shape["samples"]),
                "times_generate": median(mine) / median(generate) if mine and generate else None,
                "failed": next(
                    (result["failed"] for result in results[case.contest][case.name] if "failed" in result), None
                ),
            }
        )
    return table


def _rates(turns: list[dict[str, Any]]) -> list[float]:
    return [
        tokens / seconds
        for result in turns
        if "failed" not in result
        for tokens, seconds in zip(result["tokens"], result["seconds"], strict=True)
    ]


def _length(turns: list[dict[str, Any]], samples: int) -> float | None:
    tokens = [count for result in turns if "failed" not in result for count in result["tokens"]]
    return sum(tokens) / len(tokens) / samples if tokens else None
