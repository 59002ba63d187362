"""The hub: `datasets` is asked for the split by its name there, without remote code; failures are one line."""

import re
from pathlib import Path
from typing import Any

import pytest
from qa_cases import build, hotpotqa, hotpotqa_hub, write_lines, write_split

from qtrain.errors import UserError
from qtrain.hub import Place

HUB = {"hub": "hotpotqa/hotpot_qa", "hub_subset": "distractor", "hub_revision": "abc"}


@pytest.fixture(autouse=True)
def there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every repository is on the hub. What is where is the matter of `test_repositories.py`."""
    monkeypatch.setattr("qtrain.tasks.load.find_repository", lambda *_: Place(local=False))


class Hub:
    """Stands in for `datasets.load_dataset` and remembers what it was asked."""

    def __init__(self, splits: dict[str, list[Any]]) -> None:
        self.splits, self.asked = splits, []

    def __call__(self, *words: Any, **options: Any) -> list[Any]:
        self.asked.append((words, options))
        return self.splits[options["split"]]


def test_splits_are_asked_for_by_the_hubs_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub = Hub({"train": [hotpotqa_hub(n) for n in range(5)], "validation": [hotpotqa_hub(9), {"id": 3}]})
    monkeypatch.setattr("datasets.load_dataset", hub)
    task = build("hotpotqa", None, on_bad_record="skip", **HUB)
    assert hub.asked == [
        (("hotpotqa/hotpot_qa", "distractor"), {"split": "train", "revision": "abc"}),
        (("hotpotqa/hotpot_qa", "distractor"), {"split": "validation", "revision": "abc"}),
    ]
    files = write_split(tmp_path, "hotpotqa", [hotpotqa(n) for n in range(5)], [hotpotqa(9)])
    assert task.held_out(9) == build("hotpotqa", files).held_out(9)
    assert task.load_stats["hotpotqa/hotpot_qa (dev)"].malformed_records[0].where == "row 1 (counted from 0)"
    # Files that are at hand are read instead.
    assert build("hotpotqa", files, **HUB).record_ids() == task.record_ids()
    assert len(hub.asked) == 2


def test_columns_and_chats_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    chat = [{"role": "user", "content": "why?"}, {"role": "assistant", "content": "#### 4"}]
    hub = Hub(
        {"train": [{"problem": "how?", "gold": "#### 3", "level": 5}], "test": [{"messages": chat, "gold": None}]}
    )
    monkeypatch.setattr("datasets.load_dataset", hub)
    columns = {"prompt": "problem", "answer": "gold", "extract": "after_hashes", "held_out_split": "test"}
    task = build("pairs", None, hub="openai/gsm8k", hub_subset="main", **columns)
    assert [(example.prompt, example.answer) for example in (*task._train, *task.held_out(1))] == [
        ("how?<think>", "3"),
        ("why?<think>", "4"),
    ]


def test_a_malformed_row_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.load_dataset", Hub({"train": [hotpotqa_hub(1), hotpotqa_hub(2) | {"answer": None}]}))
    with pytest.raises(UserError, match=r"hotpot_qa \(train\): row 1 \(counted from 0\) is not in the layout of"):
        build("hotpotqa", None, **HUB)


def test_what_fails_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*_: Any, **__: Any) -> None:
        raise ConnectionError("no\nroute" + "!" * 5000)

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    with pytest.raises(UserError) as raised:
        build("hotpotqa", None, **HUB)
    assert str(raised.value).startswith("task.hub='hotpotqa/hotpot_qa', split 'train': cannot be loaded: no route!")
    assert str(raised.value).endswith("give the official files by data=PATH instead")
    assert len(str(raised.value)) < 500


def test_neither_files_nor_hub() -> None:
    with pytest.raises(UserError, match=r"task 'hotpotqa' reads records: add data=PATH"):
        build("hotpotqa", None)


def test_the_real_library_reads_a_local_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "hotpot"
    folder.mkdir()
    write_lines(folder / "train.jsonl", [hotpotqa_hub(n) for n in range(5)])
    write_lines(folder / "validation.jsonl", [hotpotqa_hub(9)])
    task = build("hotpotqa", None, hub=str(folder))
    files = write_split(tmp_path / "files", "hotpotqa", [hotpotqa(n) for n in range(5)], [hotpotqa(9)])
    assert task.record_ids() == build("hotpotqa", files).record_ids()
    assert task.held_out(1) == build("hotpotqa", files).held_out(1)


def test_remote_code_is_never_trusted() -> None:
    package = Path(__file__).parents[2] / "qtrain"
    texts = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    assert set(re.findall(r"trust_remote_code.{6}", texts)) == {"trust_remote_code=False"}
