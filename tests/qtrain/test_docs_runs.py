"""The docs as a reader uses them: Python blocks run, configurations and data are read, commands do what they say."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest
from qa_cases import RECORDS, tiny_model, write_split

from qtrain.cli import main
from qtrain.config import read_config
from qtrain.config.estimator import find_estimator
from qtrain.tasks.data_sets import data_set
from qtrain.tasks.records import Record, parse
from qtrain.tasks.rows import JsonRow

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path for path in [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]
}
TEXTS = {name: path.read_text(encoding="utf-8") for name, path in PAGES.items() if "_build" not in name}

SMALL = [
    "train.steps=1",
    "rollout.prompts=2",
    "rollout.samples=4",
    "rollout.rationale_budget=3",
    "rollout.answer_budget=12",
    "eval.prompts=1",
    "eval.samples=4",
    "eval.every=1",
]
"""What makes a documented run quick."""

RANDOM = ["pretrain.steps=0", "pretrain.p0=none", "model.hidden_size=16", "model.layers=1"]
"""The same for models with random weights."""


def blocks(language: str) -> dict[str, list[str]]:
    """Blocks of a language by page, for the pages that have any."""
    found = {name: re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.M) for name, text in TEXTS.items()}
    return {name: some for name, some in found.items() if some}


def write_files(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's first configuration as mine.toml, and its code as mine.py, imported anew."""
    for block in blocks("toml").get(page, [])[:1]:
        (folder / "mine.toml").write_text(block, encoding="utf-8")
    for block in blocks("python").get(page, []):
        if block.startswith("# mine.py\n"):
            (folder / "mine.py").write_text(block, encoding="utf-8")
            monkeypatch.setattr(sys, "path", list(sys.path))
            monkeypatch.delitem(sys.modules, "mine", raising=False)
            find_estimator.cache_clear()


@pytest.mark.parametrize("page", [page for page in blocks("python") if page != "README.md"])  # see test_readme
def test_python_blocks_run_one_after_the_other(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_files(page, tmp_path, monkeypatch)
    names: dict[str, object] = {}
    for block in blocks("python")[page]:
        exec(block, names)


@pytest.mark.parametrize("page", blocks("toml"))
def test_configurations_are_read(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_files(page, tmp_path, monkeypatch)
    for block in blocks("toml")[page]:
        (tmp_path / "config.toml").write_text(block, encoding="utf-8")
        assert read_config(tmp_path / "config.toml").name


@pytest.mark.parametrize("page", blocks("json"))
def test_lines_of_data_are_records(page: str) -> None:
    for block in blocks("json")[page]:
        for line in block.splitlines():
            assert isinstance(parse(JsonRow("line", json.loads(line)), data_set("pairs")), Record)


TRAINS = ("train", "compare", "pretrain", "measure", "evaluate", "report", "export")


def runnable(words: list[str]) -> bool:
    """Whether a command is run here: those that train, and those that read what such runs wrote, or data."""
    trains = words[:1] == ["qtrain"] and words[1] in TRAINS
    return (trains and "rollout.engine=vllm" not in words) or words[:2] == ["qtrain", "data"]


SESSIONS = {
    page: [
        words for block in some for line in block.splitlines() if runnable(words := shlex.split(line, comments=True))
    ]
    for page, some in blocks("sh").items()
}


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page, words in SESSIONS.items() if words])
def test_commands_of_a_page_run_in_order(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for package in ("qtrain", "figures"):
        (tmp_path / package).symlink_to(ROOT / package)
    write_files(page, tmp_path, monkeypatch)
    for words in SESSIONS[page]:
        with pytest.raises(SystemExit) as stop:
            main(small(words[1:], tmp_path))
        assert stop.value.code == 0, words


def small(words: list[str], folder: Path) -> list[str]:
    """A command on a few records of the tests' own, and a tiny model."""
    config = next((word for word in words if word.endswith(".toml")), None)
    name = "pairs" if config == "mine.toml" else Path(config or "").name.partition("_")[0]
    name = next((word for word in words if word in RECORDS), name)
    if name in RECORDS:
        data = write_split(folder / ("data" if name == "pairs" else f"{name}-data"), name, *records(name))
        words = [word.replace("PATH", str(data)).replace("dev.json", str(data / "dev.json")) for word in words]
        words += ["--path", str(data)] * (words[:2] == ["data", "show"] and "--path" not in words)
    if words[:2] == ["data", "check"] and config == "mine.toml":
        return [*words, f"model.pretrained={tiny_model(folder / 'model')}"]
    if config is None or words[0] not in ("train", "compare", "pretrain", "measure"):
        return words
    if config == "mine.toml" and (folder / "mine.py").exists():
        return [*words, *SMALL]
    if config == "mine.toml":
        return [*words, *SMALL, f"model.pretrained={tiny_model(folder / 'model')}", "task.max_prompt_tokens=150"]
    if "--seeds" in words:
        words[words.index("--seeds") + 1] = "1"
    return [*words, *SMALL, *RANDOM]


def records(name: str) -> tuple[list, list]:
    """A few for training, others held out."""
    made = [RECORDS[name](number) for number in range(8)]
    return made[:6], made[6:]
