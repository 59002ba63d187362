"""Malformed run folders, checkpoints, weights and cached bases."""

# ruff: noqa: E501 - tables of cases

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from broken_files import (
    Rng,
    edit,
    hostile_pickle,
    hostile_torch_file,
    pick,
    replace,
    same_bytes,
    same_json,
    same_tensors,
    spoil,
    tensor_header,
    valid_json,
    valid_lines,
)
from good_inputs import COMMANDS
from safetensors.torch import load_file, save, save_file

DEEP = '{"a":' * 3_000 + "1" + "}" * 3_000
NO_OBJECT = ("[]", "7", "null", '"x"', "NaN", "[" * 5_000 + "]" * 5_000)


def _header(rng: Rng, data: bytes) -> bytes:
    """A safetensors file whose header lies about sizes, types, places or its own length."""
    header, size = tensor_header(data), int.from_bytes(data[:8], "little")
    names = [name for name in header if name != "__metadata__"]
    name, other = (pick(rng, names) for _ in range(2))
    begin, end = header[name]["data_offsets"]
    lies: list[Callable[[], Any]] = [
        lambda: header[name].update(shape=[2**40, 2**40]),
        lambda: header[name].update(shape=[-1, 4]),
        lambda: header[name].update(shape=[*header[name]["shape"], 2]),
        lambda: header[name].update(dtype="F64"),
        lambda: header[name].update(dtype="PICKLE"),
        lambda: header[name].update(data_offsets=[begin, end + 2**40]),
        lambda: header[name].update(data_offsets=[end, begin]),
        lambda: header[name].update(data_offsets=[-8, end]),
        lambda: header[name].update(data_offsets=[begin + 4, end + 4]),
        lambda: header[name].pop("shape"),
        lambda: header.update({"more": {"dtype": "F32", "shape": [2], "data_offsets": [begin, begin + 8]}}),
        lambda: header.update({"../../canary": header.pop(other)}),
        lambda: header.update(__metadata__={"format": ["pt"]}),
    ]
    pick(rng, lies)()
    text = json.dumps(header).encode()
    length = pick(rng, (len(text),) * 8 + (2**63, 2**40, 0, size * 2))
    return length.to_bytes(8, "little") + text + data[8 + size :]


def _tensors(rng: Rng, path: Path) -> bytes:
    """Whole safetensors of something else: a shape, a type or a name is wrong."""
    tensors = load_file(path)
    name = pick(rng, tensors)
    value = tensors.pop(name)
    other = {
        "shape": {name: value.flatten()[:-1].clone() if value.numel() > 1 else torch.zeros(3)},
        "turned": {name: torch.cat([value, value]) if value.dim() else torch.zeros(2, 2)},
        "half": {name: value.to(torch.float16)},
        "double": {name: value.double()},
        "integers": {name: value.to(torch.int64)},
        "bool": {name: value.bool()},
        "gone": {},
        "another name": {f"{name}.x": value},
        "one more": {name: value, "more": value.clone()},
    }
    return save(tensors | pick(rng, other.values()))


def _weights(rng: Rng, path: Path) -> None:
    """Break weights that no checksum covers."""
    data = path.read_bytes()
    match int(rng.integers(5)):
        case 0:
            replace(path, _header(rng, data))
        case 1 | 2:
            replace(path, _tensors(rng, path))
        case 3:
            replace(path, pick(rng, (hostile_pickle(), hostile_torch_file())))
            shutil.copy(path, path.with_name("pytorch_model.bin"))
        case _:
            spoil(rng, path, same_tensors(data))


def run_weights(rng: Rng, here: Path) -> list[str]:
    """The weights of a finished run; one in eight holds numbers that are none, as a broken training leaves them."""
    path = here / "done" / "model.safetensors"
    if rng.random() < 1 / 8:
        tensors = load_file(path)
        name = pick(rng, sorted(tensors))
        tensors[name] = torch.full_like(tensors[name], pick(rng, (float("nan"), float("inf"))))
        save_file({**tensors, "lm_head.weight": tensors["lm_head.weight"] * float("nan")}, path)
    else:
        _weights(rng, path)
    return COMMANDS["evaluate"]


def cached_base(rng: Rng, here: Path) -> list[str]:
    """A base in the cache: its weights, its base.json, or a file where a folder is to be."""
    folders = sorted((here / "cache/qcontinuum/bases").iterdir())
    # Which of the two bases a command wants is for it to say: break them alike.
    state = rng.bit_generator.state
    how = int(rng.integers(6))
    for folder in folders:
        rng.bit_generator.state = state
        rng.integers(6)
        if how < 3:
            _weights(rng, folder / "model.safetensors")
        elif how == 3:
            spoil(rng, folder / "base.json", same_object, missing=False)
        elif how == 4:
            replace(folder / "base.json", str(pick(rng, (*NO_OBJECT, DEEP[:-9]))))
        else:
            shutil.rmtree(folder)
            folder.symlink_to(folder.name) if rng.random() < 0.5 else folder.write_bytes(b"")
    return COMMANDS["train"] if how < 3 or rng.random() < 0.5 else ["pretrain", "tiny.toml"]


def same_object(data: bytes) -> bool:
    """Whether it is a JSON object still: base.json is for the reader, nothing of it decides a run."""
    return valid_json(data) and isinstance(json.loads(data), dict)


RUN_WRONG: dict[str, tuple[Any, ...]] = {
    "result.json": (("steps", "many"), ("steps", 10**400), ("seed", None), ("estimator", 7), ("p0", "small"), ("seconds", []),
                    ("p_at_1", "x"), ("escape_step", 1.5), ("q", {}), ("steps", float("nan")), ("p_at_2", "x"), ("maj_at_2", [1])),
    "config.json": (("rollout", 7), ("train", None), ("optimizer", {"name": 7}), ("eval", {"prompts": "x"}), ("name", 7),
                    ("task", []), ("train", {"steps": "x"}), ("name", None)),
    "environment.json": (("command", 7), ("libraries", []), ("commit", None), ("machine", {}), ("libraries", {"a": 1})),
}  # fmt: skip
"""Fields that the report reads, with values that cannot be theirs."""

LINE_WRONG: dict[str, tuple[Any, ...]] = {
    "metrics.jsonl": (("step", "x"), ("p", None), ("step", 10**400), ("p", "0"), ("step", 1.5)),
    "evals.jsonl": (("step", None), ("p_at_1", "x"), ("step", [])),
    "samples.jsonl": (("prompt", 7), ("log_w", "x"), ("success", "perhaps"), ("gold", None)),
}  # fmt: skip


def report_folder(rng: Rng, here: Path) -> list[str]:
    """A run or a comparison given to the report."""
    several = rng.random() < 0.5
    folder = here / ("several/paft-q.5-seed0" if several else "done")
    match int(rng.integers(5)):
        case 0:
            path = folder / pick(rng, RUN_WRONG)
            spoil(rng, path, same_json(path.read_bytes()) if several else same_object)
        case 1:
            name = pick(rng, RUN_WRONG)
            key, value = pick(rng, RUN_WRONG[name])
            edit(folder / name, lambda table: table.update({key: value}))
        case 2:
            name = pick(rng, LINE_WRONG)
            key, value = pick(rng, LINE_WRONG[name])
            _edit_line(folder / name, lambda table: json.dumps({**table, key: value}))
        case 3:
            _edit_line(folder / pick(rng, LINE_WRONG), lambda _: str(pick(rng, (*NO_OBJECT, DEEP[:-9], "{"))))
        case _:
            spoil(rng, folder / pick(rng, LINE_WRONG), valid_lines)
    if several and rng.random() < 0.3:
        _comparison(rng, here / "several")
    return COMMANDS["page" if several else "report"]


def _edit_line(path: Path, change: Callable[[dict[str, Any]], str]) -> None:
    """Replace the first line; behind it there are others."""
    first, *others = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([change(json.loads(first)), *others, *others[:1], first]) + "\n", encoding="utf-8")


def _comparison(rng: Rng, folder: Path) -> None:
    path = folder / "comparison.json"
    if rng.random() < 0.5:
        replace(path, pick(rng, (*NO_OBJECT, "[[]]", "[7]", '[{"estimator": "grpo"}]', "{}", '[{"estimator": []}]')))
    else:
        spoil(rng, path, same_json(path.read_bytes()), missing=False)


def evaluate_folder(rng: Rng, here: Path) -> list[str]:
    """A finished run given to `evaluate`: configuration or result."""
    folder = here / "done"
    match int(rng.integers(4)):
        case 0:
            spoil(rng, folder / "result.json", same_object)
        case 1:
            replace(folder / pick(rng, ("result.json", "config.json")), str(pick(rng, (*NO_OBJECT, DEEP[:-9]))))
        case 2:
            spoil(rng, folder / "config.json", same_object)
        case _:
            key, value = pick(rng, CONFIG_TRICKS)
            edit(folder / "config.json", lambda table: table.update({key: value}))
    return COMMANDS["evaluate"]


QA = {"name": "finqa", "variant": "warm"}
CONFIG_TRICKS: tuple[tuple[str, Any], ...] = (
    ("name", "../../outside"), ("data", "/etc/passwd"), ("data", "../data/finqa.json"), ("data", "a\0b"),
    ("task", {**QA, "tokenizer": "/etc"}), ("task", {**QA, "tokenizer": "../../"}), ("task", {**QA, "tokenizer": "a\0b"}),
    ("task", {**QA, "hub": "/etc"}), ("task", {**QA, "tokenizer": "x" * 400}), ("data", "x" * 400), ("sinks", ["/bin/sh"]),
    ("model", {"hidden_size": 10**15}), ("eval", {"prompts": 10**15}), ("rollout", {"samples": -1}),
    ("__reduce__", "x"), ("data", "\ud800"), ("task", {**QA, "tokenizer": "\ud800"}),
)  # fmt: skip
"""Absolute names, names above the folder, null bytes, huge numbers in a run's own configuration."""


def resumed_folder(rng: Rng, here: Path) -> list[str]:
    """An interrupted run's own files, not its checkpoint; or a finished run's, which --resume returns."""
    if rng.random() < 0.3:
        edit_result = pick(rng, (*NO_OBJECT, "{}", DEEP[:-9], '{"estimator": "grpo"}'))
        replace(here / "done" / "result.json", str(edit_result))
        return ["train", "tiny.toml", "--out", "done", "--resume"]
    folder = here / "half"
    name = pick(rng, ("config.json", "environment.json", "metrics.jsonl", "evals.jsonl", "samples.jsonl"))
    path = folder / name
    if name.endswith(".json"):
        if rng.random() < 0.5:
            spoil(rng, path, same_object if name == "environment.json" else same_json(path.read_bytes()), missing=False)
        else:
            replace(path, str(pick(rng, (*NO_OBJECT, DEEP[:-9]))))
    else:
        # A log longer than at the checkpoint is cut back, a shorter one is damage; what stands in it is not read.
        match int(rng.integers(3)):
            case 0:
                path.write_bytes(path.read_bytes()[: -1 - int(rng.integers(20))])
            case 1:
                path.unlink()
                path.mkdir()
            case _:
                path.unlink()
    return COMMANDS["resume"]


def checkpoint(rng: Rng, here: Path) -> list[str]:
    """Damage that the checksums must find."""
    folder = here / "half/checkpoints/step-00000001"
    path = folder / pick(rng, ("model.safetensors", "state.safetensors", "state.json", "manifest.json"))
    data = path.read_bytes()
    match int(rng.integers(4)):
        case 0:
            other = pick(rng, [one for one in folder.iterdir() if one != path])
            shutil.copy(other, path)
        case 1 if path.name == "manifest.json":
            replace(path, str(pick(rng, (*NO_OBJECT, DEEP[:-9], "{}", '{"model.safetensors": 7}'))))
        case _:
            spoil(rng, path, same_json(data) if path.name == "manifest.json" else same_bytes(data))
    return COMMANDS["resume"]


STATE_WRONG: tuple[tuple[str, Any], ...] = (
    ("format", 99), ("format", "one"), ("format", None), ("generators", {}), ("generators", []), ("logs", {"../../passwd": -5}),
    ("logs", {"metrics.jsonl": 10**12}), ("logs", {"metrics.jsonl": 10**30}), ("logs", {"../../outside": 3}), ("logs", []), ("state", {}), ("more", 1),
    ("state.step", -1), ("state.step", 7), ("state.step", 10**30), ("state.step", "x"), ("state.first", {}), ("state.last", {}),
    ("state.first", {"p": "x"}), ("state.log_p", "x"), ("state.best_score", [1]), ("state.skipped", -3), ("state.escape_step", 1.5),
    ("generators.batch", {"bit_generator": "MT19937"}), ("generators.batch.state", {}), ("generators.batch.state.state", -1),
    ("generators.batch.state.state", "x"), ("generators.batch.state.inc", 10**60), ("generators.measures", None), ("generators.batch.uinteger", "x"),
    ("generators.batch", {"bit_generator": "os.system"}), ("state.seconds", "x"), ("state.best_step", -7), ("state.failing", -1),
)  # fmt: skip


def forged_checkpoint(rng: Rng, here: Path) -> list[str]:
    """A checkpoint whose checksums are right and whose content is not this run's."""
    folder = here / "half/checkpoints/step-00000001"
    match int(rng.integers(5)):
        case 0:
            path = folder / "state.json"
            key, value = pick(rng, STATE_WRONG)
            edit(path, lambda table: _set(table, key, value))
        case 1:
            path = folder / "state.json"
            replace(path, str(pick(rng, (*NO_OBJECT, DEEP[:-9], DEEP))))
        case 2:
            path = folder / pick(rng, ("model.safetensors", "state.safetensors"))
            replace(path, pick(rng, (hostile_pickle(), hostile_torch_file())))
        case 3:
            path = folder / pick(rng, ("model.safetensors", "state.safetensors"))
            replace(path, _header(rng, path.read_bytes()))
        case _:
            path = folder / pick(rng, ("model.safetensors", "state.safetensors"))
            replace(path, _tensors(rng, path))
    edit(folder / "manifest.json", lambda sums: sums.update({path.name: sha256(path.read_bytes()).hexdigest()}))
    return COMMANDS["resume"]


def _set(table: Any, key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        table = table[parent]
    table[last] = value
