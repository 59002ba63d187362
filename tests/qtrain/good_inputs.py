"""A folder with one good example of everything that the commands of `qtrain` read, for `malformed.py` to break."""

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from qa_cases import RECORDS, write_array, write_lines

from qtrain.callbacks import StepFunction
from qtrain.comparison import row
from qtrain.config import Config
from qtrain.prepare import get_base
from qtrain.runs.folder import COMPARISON, write_json
from qtrain.tasks import make_task
from qtrain.tasks.tokenizer import byte_tokenizer
from qtrain.trainer import train

SIZES = {
    "hidden_size": 8,
    "intermediate_size": 8,
    "layers": 1,
    "heads": 2,
    "key_value_heads": 1,
    "head_dim": 4,
}
TINY: dict[str, Any] = {
    "name": "tiny",
    "estimator": "paft:q=0.5",
    "task": {"name": "digit_sum", "variant": "mixed", "digits": 3},
    "model": {**SIZES, "max_positions": 32},
    "pretrain": {"steps": 0},
    "rollout": {"prompts": 2, "samples": 3, "rationale_budget": 4},
    "optimizer": {"name": "adamw", "lr": 1e-2},
    "train": {"steps": 2, "checkpoint_every": 1},
    "eval": {"every": 2, "prompts": 2, "samples": 2},
}
QUESTIONS: dict[str, Any] = {
    **TINY,
    "name": "questions",
    "task": {"name": "finqa", "max_prompt_tokens": 512},
    "model": {**SIZES, "max_positions": 1024},
}
"""The same on records, whose data set a command names by `task.name`."""

COMMANDS = {
    "resume": ["train", "tiny.toml", "--out", "half", "--resume"],
    "train": ["train", "tiny.toml", "--out", "new"],
    "evaluate": ["evaluate", "done"],
    "report": ["report", "done", "-o", "page.html"],
    "compare": ["compare", "tiny.toml", "--estimator", "paft:q=.5", "--out", "several"],
    "page": ["report", "several", "-o", "page.html"],
    "check": ["data", "check", "finqa", "--path", "data/finqa.json", "--tokenizer", "tokenizer", "--variant", "warm"],
    "questions": ["train", "questions.toml", "--out", "new"],
}
"""Commands that succeed on the folder as it is."""

DATA = {name: f"data/{name}.json" for name in RECORDS}


class _Interrupted(BaseException):
    """Stands for a kill."""


def make_good_inputs(folder: Path) -> None:
    """Write them: configurations, a cached base, a finished and an interrupted run, a comparison, records, a tokenizer.

    Args:
        folder: An empty folder. `XDG_CACHE_HOME` is to be its `cache` wherever a command runs on it or on a copy.
    """
    config = Config.model_validate(TINY)
    (folder / "tiny.toml").write_text(toml(TINY), encoding="utf-8")
    (folder / "questions.toml").write_text(toml({"data": "data/finqa.json", **QUESTIONS}), encoding="utf-8")
    write_json(folder / "tiny.json", config.as_table())
    task = make_task(config.task, None)
    base = get_base(config, task)
    get_base(Config.model_validate(QUESTIONS), make_task(Config.model_validate(QUESTIONS).task, _records(folder)))
    result = train(config, task, base, folder / "done")
    with contextlib.suppress(_Interrupted):
        train(config, task, base, folder / "half", callbacks=[StepFunction(_interrupt)])
    several = folder / "several"
    shutil.copytree(folder / "done", several / "paft-q.5-seed0")
    write_json(several / COMPARISON, [row(result)])
    for name in ("config.json", "environment.json"):
        shutil.copy(folder / "done" / name, several / name)
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = "{% for one in messages %}{{ one.content }}{% endfor %}"
    tokenizer.save_pretrained(folder / "tokenizer")
    torch.set_num_threads(1)


def _records(folder: Path) -> Path:
    (folder / "data").mkdir()
    for name, record in RECORDS.items():
        # Pages of their own, as one page in eight is held out.
        some = [record(number, **({"page": f"p{number}"} if name == "finqa" else {})) for number in range(24)]
        (write_lines if name == "musique" else write_array)(folder / DATA[name], some)
    return folder / DATA["finqa"]


def _interrupt(step: int, metrics: dict[str, float]) -> None:
    del metrics
    if step == 2:
        raise _Interrupted


def toml(table: dict[str, Any]) -> str:
    """A configuration's table as TOML: values first, then one level of tables."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items() if not isinstance(value, dict)]
    for name, inner in table.items():
        if isinstance(inner, dict):
            lines += ["", f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in inner.items())]
    return "\n".join(lines) + "\n"


def use_cache(folder: Path) -> None:
    """Let bases be looked for below this folder alone."""
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
