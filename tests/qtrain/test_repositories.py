"""Models, tokenizers and data sets that are mistyped, or on a hub that refuses, is silent, or cannot be reached."""

import json
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_hub import COMMIT, FakeHub, fake_hub, use_hub
from huggingface_hub import hf_hub_download
from qa_cases import hotpotqa_hub, tiny_model

from qtrain.cli import main
from qtrain.config import PretrainedConfig
from qtrain.errors import UserError
from qtrain.hub import DATA_SET, MODEL, TOKENIZER, Kind, find_repository, tell_of_a_copy
from qtrain.policy.model import load_pretrained
from qtrain.tasks.load import HubSource
from qtrain.tasks.tokenizer import load_tokenizer

UNREACHABLE = "no such folder here, and the hub cannot be reached (Connection refused)"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, with empty caches and no wish to be offline."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    tell_of_a_copy.cache_clear()
    monkeypatch.delenv("HF_HUB_ETAG_TIMEOUT", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    return here


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub with nothing on it."""
    with fake_hub(monkeypatch) as served:
        monkeypatch.setattr("datasets.config.HF_ENDPOINT", served.address)
        yield served


@pytest.fixture
def model_files(tmp_path: Path) -> dict[str, bytes]:
    """Those of a tiny model."""
    return {path.name: path.read_bytes() for path in tiny_model(tmp_path / "served").iterdir()}


def close_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens there any more."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
    use_hub(monkeypatch, address)
    monkeypatch.setattr("datasets.config.HF_ENDPOINT", address)


def refusal(kind: Kind, name: str, revision: str | None = None) -> str:
    """The line about a name that is not found."""
    with pytest.raises(UserError) as raised:
        find_repository("key", name, revision, kind)
    line = str(raised.value)
    assert line.startswith(f"key={name!r}: ")
    assert "\n" not in line
    return line.removeprefix(f"key={name!r}: ")


def test_a_model_comes_from_the_hub_and_then_from_its_cache(
    hub: FakeHub,
    model_files: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hub.files["owner/model"] = model_files
    for revision in (None, COMMIT):
        model = PretrainedConfig(pretrained="owner/model", revision=revision)
        weights = load_pretrained(model, load_tokenizer(Path("owner/model"), revision)).state_dict()
        assert weights
    assert capsys.readouterr().err == ""
    close_the_hub(monkeypatch)
    for revision in (None, "main", COMMIT):
        model = PretrainedConfig(pretrained="owner/model", revision=revision)
        again = load_pretrained(model, load_tokenizer(Path("owner/model"), revision)).state_dict()
        assert all(bool((again[name] == weights[name]).all()) for name in weights)
    line = "the hub cannot be reached (Connection refused); taking its local cache's copy\n"
    # Said once, however often it is loaded.
    assert capsys.readouterr().err == f"task.tokenizer='owner/model': {line}model.pretrained='owner/model': {line}"
    assert refusal(MODEL, "owner/model", "other") == UNREACHABLE
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert find_repository("key", "owner/model", None, MODEL).local
    assert capsys.readouterr().err == ""
    assert refusal(MODEL, "owner/modle") == "no such folder here, and the hub is not asked (HF_HUB_OFFLINE)"


def test_a_part_in_the_cache_is_no_model(
    hub: FakeHub, model_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.files["owner/model"] = model_files
    load_tokenizer(Path("owner/model"))
    close_the_hub(monkeypatch)
    assert find_repository("key", "owner/model", None, TOKENIZER).local
    assert refusal(MODEL, "owner/model") == UNREACHABLE


def test_a_cached_configuration_without_weights_is_no_model(
    hub: FakeHub, model_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.files["owner/model"] = model_files
    hf_hub_download("owner/model", "config.json")
    close_the_hub(monkeypatch)
    assert refusal(MODEL, "owner/model") == UNREACHABLE


def test_what_the_hub_has_no_more_is_not_taken_from_the_cache(hub: FakeHub, model_files: dict[str, bytes]) -> None:
    hub.files["owner/model"] = model_files
    load_tokenizer(Path("owner/model"))
    del hub.files["owner/model"]
    assert "the hub has no such repository" in refusal(TOKENIZER, "owner/model")


def test_what_the_hub_does_not_have(hub: FakeHub, model_files: dict[str, bytes]) -> None:
    hub.files["owner/model"] = model_files
    hub.files["owner/other"] = {"README.md": b""}
    before = "no such folder here, and the hub"
    assert refusal(MODEL, "owner/modle") == f"{before} has no such repository (a private one needs `hf auth login`)"
    assert refusal(MODEL, "owner/model", "v2") == f"{before}'s repository has no revision 'v2'"
    assert refusal(MODEL, "owner/other") == f"{before}'s repository has no config.json"
    assert refusal(TOKENIZER, "owner/other") == f"{before}'s repository has no tokenizer.json"
    assert refusal(DATA_SET, "owner/other").startswith(f"{before} has no such repository")


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (401, "the hub has no such repository"),
        (403, "the hub has no such repository or revision, or not for you (status 403)"),
        (404, "the hub has no such repository or revision, or not for you (status 404)"),
        (429, "the hub cannot be reached (it answers with status 429)"),
        (500, "the hub cannot be reached (it answers with status 500)"),
        (503, "the hub cannot be reached (it answers with status 503)"),
    ],
)
@pytest.mark.parametrize("kind", [MODEL, TOKENIZER])
def test_a_hub_that_only_gives_a_status(status: int, line: str, kind: Kind, hub: FakeHub) -> None:
    hub.status = status
    assert refusal(kind, "owner/model").startswith(f"no such folder here, and {line}")
    assert len(hub.asked) == 1


def test_a_gated_model(hub: FakeHub) -> None:
    hub.gated = True
    assert "open to those alone who accepted its terms" in refusal(MODEL, "owner/model")


@pytest.mark.parametrize("kind", [MODEL, TOKENIZER])
def test_a_silent_hub_is_not_waited_for(kind: Kind, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.silent = True
    monkeypatch.setattr("qtrain.hub.PATIENCE", 0.05)
    line = refusal(kind, "owner/model")
    waits = "(no answer within 0.05 s; HF_HUB_ETAG_TIMEOUT=SECONDS gives it more)"
    assert line == f"no such folder here, and the hub cannot be reached {waits}"
    # Whoever asks for it waits longer, and gets the answer.
    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "20")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_ETAG_TIMEOUT", 20)
    hub.woken.set()
    assert "no such repository" in refusal(kind, "owner/model")


def test_an_address_that_is_looked_up_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time limit of an HTTP library covers that."""
    woken = threading.Event()
    monkeypatch.setattr("qtrain.hub.PATIENCE", 0.05)
    monkeypatch.setattr("qtrain.hub.get_hf_file_metadata", lambda *_, **__: woken.wait(30))
    assert "no answer within 0.05 s" in refusal(MODEL, "owner/model")
    woken.set()


@pytest.mark.parametrize("kind", [MODEL, TOKENIZER])
def test_a_hub_that_cannot_be_reached(kind: Kind, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    close_the_hub(monkeypatch)
    assert refusal(kind, "models/qwen") == UNREACHABLE
    # Nearly the name of something here.
    (folder / "models" / "qwen3").mkdir(parents=True)
    assert refusal(kind, "models/qwen") == f"{UNREACHABLE}; did you mean 'models/qwen3'?"
    assert refusal(kind, "modles/qwen3") == f"{UNREACHABLE}; did you mean 'models/qwen3'?"
    assert refusal(kind, "models/other") == UNREACHABLE


@pytest.mark.parametrize(
    "name", ["model", "a/b/c", "./model", "/nowhere/model", "a b/c", "a\0b", "~nobody/x", "x/" * 3000]
)
def test_what_cannot_be_an_id_is_not_asked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qtrain.hub.get_hf_file_metadata", None)
    assert refusal(MODEL, name) == "no such folder here, and no id of the hub, OWNER/NAME"


def test_the_nearest_folder_by_a_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "exported").mkdir()
    monkeypatch.setenv("HOME", str(folder))
    assert refusal(MODEL, "exportd").endswith("; did you mean 'exported'?")
    assert refusal(MODEL, f"{folder}/exportd").endswith(f"; did you mean '{folder}/exported'?")
    assert refusal(MODEL, "~/exportd").endswith(f"; did you mean '{folder}/exported'?")


def test_folders_that_lack_files(folder: Path, model_files: dict[str, bytes]) -> None:
    model = folder / "model"
    model.mkdir()
    for name, content in model_files.items():
        (model / name).write_bytes(content)
    for kind in (MODEL, TOKENIZER):
        assert find_repository("key", "model", None, kind) == (True, None)

    def without(name: str) -> Path:
        shutil.rmtree(folder / "less", ignore_errors=True)
        shutil.copytree(model, folder / "less")
        (folder / "less" / name).unlink()
        return folder / "less"

    assert refusal(MODEL, str(without("config.json"))) == "the folder has no config.json"
    assert refusal(TOKENIZER, str(without("tokenizer.json"))) == "the folder has no tokenizer.json"
    less = without("model.safetensors")
    assert refusal(MODEL, "less") == "the folder has no model.safetensors"
    (less / "pytorch_model.bin").touch()
    assert refusal(MODEL, "less") == "the folder has no model.safetensors, and pickled weights are not read"
    index: dict[str, Any] = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (less / "model.safetensors.index.json").write_text(json.dumps(index))
    (less / "model-1.safetensors").touch()
    assert refusal(MODEL, "less") == ("the folder has no model-2.safetensors, which model.safetensors.index.json names")
    (less / "model.safetensors.index.json").write_text("[1]")
    assert refusal(MODEL, "less") == "model.safetensors.index.json is damaged"
    (folder / "file").touch()
    (folder / "link").symlink_to("nothing")
    assert refusal(MODEL, "file") == "is no folder"
    assert refusal(MODEL, "link") == "is a link to nothing"
    for name in ("result.json", "metrics.jsonl"):
        (model / name).touch()
    assert refusal(MODEL, "model") == "is a run folder; `qtrain export` makes a model of it"


def rows(revision: str | None = None, name: str = "owner/questions") -> list[object]:
    """Those of a data set's training split."""
    return [row.value for row in HubSource(name, revision=revision).rows("train")]


@pytest.mark.parametrize("card", [True, False])
def test_a_data_set_comes_from_the_hub_and_then_from_its_cache(
    card: bool, hub: FakeHub, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = "".join(json.dumps(hotpotqa_hub(number)) + "\n" for number in range(2)).encode()
    hub.files["datasets/owner/questions"] = {"train.jsonl": lines, **({"README.md": b"# Questions"} if card else {})}
    wanted = [hotpotqa_hub(number) for number in range(2)]
    assert rows() == rows(COMMIT) == wanted
    with pytest.raises(UserError, match=r"task.hub='owner/questions': .* no revision 'v2'"):
        rows("v2")
    with pytest.raises(UserError, match=r"task.hub='owner/nothing': no such folder here, and the hub has no such"):
        rows(name="owner/nothing")
    close_the_hub(monkeypatch)
    assert rows() == rows(COMMIT) == wanted
    assert "the hub cannot be reached (Connection refused); taking its local cache's copy" in capfd.readouterr().err
    if card:
        assert rows("main") == wanted
    # The library would give the copy of whatever revision it has.
    with pytest.raises(UserError, match=r"its local cache has no copy of revision 'a{40}'"):
        rows("a" * 40)
    with pytest.raises(UserError, match=r"Connection refused.; its local cache has no copy; give the official files"):
        rows(name="owner/nothing")


def test_the_line_names_the_key_that_was_typed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    close_the_hub(monkeypatch)
    (folder / "mine.toml").write_text(
        'name = "mine"\ndata = "data"\n[model]\npretrained = "owner/model"\n[task]\nname = "pairs"\n'
    )
    for command in (["train", "mine.toml"], ["compare", "mine.toml", "--estimator", "grpo", "--out", "out"]):
        with pytest.raises(SystemExit) as stop:
            main(command)
        assert stop.value.code == 2
        assert capsys.readouterr().err == f"qtrain: model.pretrained='owner/model': {UNREACHABLE}\n"
    assert [path.name for path in folder.iterdir()] == ["mine.toml"]
