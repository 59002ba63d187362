"""Records of the data sets in their layouts, files of them, and a tiny pretrained model, shared by several tests."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from qtrain.tasks import make_task, task_config
from qtrain.tasks.data_sets import DATA_SETS
from qtrain.tasks.qa import QATask
from qtrain.tasks.tokenizer import byte_tokenizer


def finqa(number: int = 1, page: str = "ABC/2010/page_7.pdf", **qa: Any) -> dict[str, Any]:
    """A FinQA record in the official layout, with fields that are not used."""
    return {
        "id": f"{page}-{number}",
        "filename": page,
        "pre_text": ["first sentence .", "second sentence ."],
        "table": [["", "2010"], ["sales", "$ 5"]],
        "table_ori": [["", "2010"], ["Sales", "$5"]],
        "post_text": ["last sentence ."],
        "qa": {"question": "what were sales?", "answer": "5", "program": "add(2, 3)", "exe_ans": 5.0} | qa,
    }


def finqa_hub(number: int = 1) -> dict[str, Any]:
    """The same record as a row of the hub's copy."""
    record = finqa(number)
    qa, texts = record["qa"], {key: record[key] for key in ("id", "pre_text", "post_text", "table")}
    return texts | {"question": qa["question"], "answer": qa["answer"], "final_result": "5.0", "gold_inds": []}


def hotpotqa(number: int = 1, **fields: Any) -> dict[str, Any]:
    """A HotPotQA record in the official layout."""
    return {
        "_id": f"5a{number:03}",
        "question": "Were Ann and Bob born in one town?",
        "answer": "yes",
        "type": "comparison",
        "level": "hard",
        "supporting_facts": [["Ann", 0], ["Bob", 1]],
        "context": [
            ["Ann", ["Ann was born in Bath.", " She sings."]],
            ["Bob", ["Bob cooks.", " He is from Bath."]],
        ],
    } | fields


def hotpotqa_hub(number: int = 1) -> dict[str, Any]:
    """The same record as a row of the hub's copy."""
    record = hotpotqa(number)
    titles, sentences = zip(*record["context"], strict=True)
    shared = {key: record[key] for key in ("question", "answer", "type", "level")}
    return {
        "id": record["_id"],
        **shared,
        "supporting_facts": {"title": ["Ann", "Bob"], "sent_id": [0, 1]},
        "context": {"title": list(titles), "sentences": list(sentences)},
    }


def musique(number: int = 1, **fields: Any) -> dict[str, Any]:
    """A MuSiQue record; the hub's copy has the same layout."""
    return {
        "id": f"2hop__{number}_17",
        "paragraphs": [
            {"idx": 0, "title": "Ann", "paragraph_text": "Ann was born in Bath.", "is_supporting": True},
            {"idx": 1, "title": "Bath", "paragraph_text": "Bath lies on the Avon.", "is_supporting": True},
        ],
        "question": "Which river flows through the town where Ann was born?",
        "question_decomposition": [{"id": 1, "question": "born?", "answer": "Bath", "paragraph_support_idx": 0}],
        "answer": "the Avon",
        "answer_aliases": ["River Avon", "Avon"],
        "answerable": True,
    } | fields


def pair(number: int = 1, **fields: Any) -> dict[str, Any]:
    """A pair of the user's own."""
    return {"id": f"mine-{number}", "question": f"what is {number} + 1?", "answer": str(number + 1)} | fields


RECORDS = {"finqa": finqa, "hotpotqa": hotpotqa, "musique": musique, "pairs": pair}
"""What makes a record of each data set, by number, in the official layout."""

LINES = {"musique", "pairs"}
"""Data sets whose official files are JSON lines."""


def write_array(path: Path, records: object) -> Path:
    path.write_text(json.dumps(records), encoding="utf-8")
    return path


def write_lines(path: Path, records: list[Any]) -> Path:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    return path


def write_split(folder: Path, name: str, train: list[Any], dev: list[Any]) -> Path:
    """A folder with a data set's official files."""
    folder.mkdir(exist_ok=True)
    write = write_lines if name in LINES else write_array
    write(folder / DATA_SETS[name].files["train"], train)
    write(folder / DATA_SETS[name].files["dev"], dev)
    return folder


def build(name: str, data: Path | None, **settings: Any) -> QATask:
    """The task over these records."""
    task = make_task(task_config({"name": name, **settings}), data)
    assert isinstance(task, QATask)
    return task


def tiny_model(folder: Path, chat_template: str | None = None) -> Path:
    """A model folder as transformers writes it: a tokenizer, tied embeddings, more rows of them than tokens."""
    if folder.exists():
        return folder
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = chat_template
    shape = Qwen3Config(
        vocab_size=len(tokenizer) + 5,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        initializer_range=0.3,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        Qwen3ForCausalLM(shape).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
