"""Malformed configurations, overrides and names of files: a good one with one thing wrong by construction."""

# ruff: noqa: E501 - tables of cases

import json
from pathlib import Path
from typing import Any

from broken_files import Rng, pick, spoil, valid_json, valid_toml
from good_inputs import COMMANDS, TINY, toml

NAN, INFINITY, HUGE = float("nan"), float("inf"), 10**30

WRONG: dict[str, tuple[Any, ...]] = {
    "name": ("../../etc", "", "a\0b", "Ünïcode", 7, None, ["tiny"], "a/b"),
    "title": (7, ["x"], {"a": "b"}),
    "estimator": ("grop", "garl", "garl:q=nan", "garl:q=2", "garl:q=-1", "garl:p=1", "garl:q", "paft:q=.5,k=0",
                  "paft:q=.5,k=1e9", "", ":", "garl:q=" + "9" * 5000, 7, None, {"name": "garl"}),
    "task": ("digit_sum", 7, None, [], {}, {"name": 7}, {"name": "../digit_sum"}),
    "task.name": ("digitsum", "", None, ["digit_sum"], "finqa\0"),
    "task.variant": ("hot", 1, None),
    "task.digits": (1, 10, -3, 2.5, "five", None, HUGE, INFINITY),
    "task.right_rationales": (-0.1, 1.1, NAN, "most"),
    "model": (7, None, [], "qwen3"),
    "model.hidden_size": (0, -8, 7.5, "wide", None, HUGE, 10**12, NAN, [8]),
    "model.layers": (0, -1, HUGE, "two"),
    "model.heads": (0, -2, HUGE, "two", 3),
    "model.head_dim": (0, 3, -4, HUGE),
    "model.max_positions": (0, -1, HUGE, "all"),
    "pretrain.steps": (-1, 0.5, HUGE, None),
    "pretrain.p0": (0, 1, -0.5, 2, NAN, INFINITY, "small"),
    "pretrain.seed": (-1, HUGE, "zero", 0.5),
    "rollout.prompts": (0, -1, HUGE, 10**12, "all"),
    "rollout.samples": (0, -1, HUGE, 10**12),
    "rollout.rationale_budget": (0, HUGE, "long"),
    "rollout.engine": ("vlm", "", None, 7),
    "rollout.temperature": (0, -1, NAN, INFINITY, "hot"),
    "rollout.top_p": (0, 1.5, NAN),
    "optimizer": ("adamw", [], 7),
    "optimizer.name": ("adam", "", None, 7),
    "optimizer.lr": (0, -1, NAN, INFINITY, "fast", None, [1e-3], {"value": 1}),
    "optimizer.clip": (0, -1, NAN),
    "optimizer.schedule": ("cosine", 7, {"kind": "cosin"}, {"warmup": 2}, {"kind": "step"}, {"kind": "step", "at": 9}),
    "train.steps": (0, -1, 1.5, "many", None, HUGE, INFINITY),
    "train.seed": (-1, HUGE, "zero"),
    "train.checkpoint_every": (0, -1, 0.5, HUGE),
    "train.dtype": ("float64", "fp8", 32, None),
    "train.kl": (0, -1, NAN, "some"),
    "eval.every": (0, -1, HUGE),
    "eval.prompts": (0, -1, HUGE, 10**12),
    "q.kind": ("cosin", 7, "adaptive", "step", "noise"),
    "q.e": (0, 0.5, 0.6, -0.1, NAN, "some", [0.1], 0.1),
    "sinks": (["../x"], "wandbb", "wandb,trackioo", 7, [7], [None]),
    "data": ("../../etc", "/etc", "a\0b", 7, ["x"]),
}  # fmt: skip
"""Values that each key must refuse, whatever stands beside it."""

UNKNOWN = (
    "optimiser",
    "train.step",
    "model.hiden_size",
    "task.digit",
    "__class__",
    "",
    "a.b.c",
    "rollout.vllm.x",
    "q.q",
)

DEEP_KEY = "title" + ".a" * 3_000

OVERRIDES = (
    "optimizer.lr", "=1", "", "=", " = ", "optimizer.lr.x=1", "name.x=1", ".=1", "..lr=1", "optimizer..lr=1",
    "train.steps=" + "9" * 5_000, "train.steps=0x" + "f" * 500, "optimizer.lr=1e999", "optimizer.lr=-inf", "train.steps=" + "[" * 50_000,
    "train.steps=" + "{a=" * 5_000, f"{DEEP_KEY}=1", "task.digits='three", "model.heads=1979-05-27",
    "train.seed=\0", "train.steps=1\nname='x'", "optimizer.lr=true", "model=", "task.name=\udc80",
)  # fmt: skip


def _wrong(rng: Rng) -> tuple[str, Any]:
    if rng.random() < 0.15:
        return str(pick(rng, UNKNOWN)), 1
    key = pick(rng, WRONG)
    return key, pick(rng, WRONG[key])


def _changed(rng: Rng) -> dict[str, Any]:
    """The table with one wrong value, or without a key that it needs."""
    if rng.random() < 0.1:
        left_out = pick(rng, ("name", "task"))
        return {key: value for key, value in TINY.items() if key != left_out}
    table = json.loads(json.dumps(TINY))
    key, value = _wrong(rng)
    *parents, last = key.split(".")
    inner = table
    for parent in parents:
        inner = inner.setdefault(parent, {})
    inner[last] = value
    return table


def toml_file(rng: Rng, here: Path) -> list[str]:
    """A TOML file: bytes of no TOML, or a wrong value."""
    path = here / "tiny.toml"
    table = _changed(rng)
    text = _toml(table) if rng.random() < 0.5 else None
    if text is None:
        spoil(rng, path, valid_toml)
    else:
        path.write_text(text, encoding="utf-8")
    return [*COMMANDS["train"]] if rng.random() < 0.7 else ["pretrain", "tiny.toml"]


def _toml(table: dict[str, Any]) -> str | None:
    """None where TOML cannot say it."""
    text = toml(table)
    return None if "null" in text or "{" in text else text.replace("NaN", "nan").replace("Infinity", "inf")


def json_file(rng: Rng, here: Path) -> list[str]:
    """The same as JSON, where null and other types are possible."""
    path = here / "tiny.json"
    if rng.random() < 0.4:
        spoil(rng, path, lambda data: valid_json(data) and isinstance(json.loads(data), dict))
    else:
        path.write_text(json.dumps(_changed(rng)), encoding="utf-8")
    return (
        [*COMMANDS["train"][:1], "tiny.json", *COMMANDS["train"][2:]]
        if rng.random() < 0.7
        else ["pretrain", "tiny.json"]
    )


def override(rng: Rng, here: Path) -> list[str]:
    """A `key=value` that is none, or a wrong value."""
    del here
    if rng.random() < 0.5:
        words = str(pick(rng, OVERRIDES))
    else:
        key, value = _wrong(rng)
        words = f"{key}={_as_toml(value)}"
    return [*COMMANDS["train"][:2], words, *COMMANDS["train"][2:]]


def _as_toml(value: Any) -> str:
    return json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf") if value is not None else "none"


PATHS = ("a\0b", "x" * 300, "x/" * 3_000, "tiny.toml", "tiny.toml/run", "data", "loop", "loop/run", "dangling/run", "/proc/1/nowhere", "/dev/null",
         "/dev/null/run", "", "done/../tiny.toml", "\udcff/\0", "done")  # fmt: skip
"""None of these can be read as a configuration or records, nor become a run folder."""


def name_of_a_file(rng: Rng, here: Path) -> list[str]:
    """A path that cannot be what it is to be: null bytes, too long, a loop, below a file, somebody else's folder."""
    (here / "loop").symlink_to("loop")
    (here / "dangling").symlink_to("/nonexistent/folder")
    path = str(pick(rng, PATHS))
    return {
        0: ["train", "tiny.toml", "--out", path or "data"],
        1: ["train", path + "/x.toml"],
        2: ["evaluate", path.replace("done", "data")],
        3: ["report", path.replace("done", "data"), "-o", "page.html"],
        4: ["report", "done", "-o", path],
        5: ["report", "done", "-o", f"{path or 'nowhere'}/page.html".replace("done/", "nowhere/").replace("data/", "nowhere/")],
        6: ["data", "check", "finqa", "--path", path],
        7: ["data", "show", "finqa", "--path", path],
        8: ["train", "questions.toml", f"data={json.dumps(path)}", "--out", "new"],
        9: ["train", "questions.toml", f"task.tokenizer={json.dumps(path)}", "--out", "new"],
        10: ["compare", "tiny.toml", "--estimator", "grpo", "--out", path.replace("done", "tiny.json") or "tiny.json"],
        11: ["data", "check", "finqa", "--path", "data/finqa.json", "--tokenizer", path],
    }[int(rng.integers(12))]  # fmt: skip
