"""A pretrained model in small, and official files in small, for the tests of `python -m figures paper`."""

from pathlib import Path

from qa_cases import RECORDS, tiny_model, write_array, write_lines

from qtrain.tasks.data_sets import DATA_SETS

TEMPLATE = "{% for m in messages %}<user>{{ m['content'] }}</user>{% endfor %}"
"""A chat template; qtrain opens the thinking itself."""

TINY = [
    *("train.steps=2", "train.dtype=float32", "train.gradient_checkpointing=false", "train.micro_batch_tokens=none"),
    *("train.checkpoint_every=1", "optimizer.lr=1e-3", "rollout.engine=transformers", "rollout.prompts=2"),
    *("rollout.samples=3", "rollout.rationale_budget=4", "rollout.answer_budget=8"),
    *("eval.every=1", "eval.prompts=2", "eval.samples=2"),
]
"""Overrides that make a cell's run take a second."""


def pretrained_folder(folder: Path) -> Path:
    """The tiny model, with a chat template."""
    return tiny_model(folder, chat_template=TEMPLATE)


def official_files(folder: Path, name: str) -> Path:
    """FOLDER/NAME with four training records, four validation and four test ones; returns FOLDER."""
    make, files = RECORDS[name], DATA_SETS[name].files
    (folder / name).mkdir(parents=True)
    for first, file in enumerate(files.values()):
        # Each record on a page of its own, so that both halves of dev have some.
        pages = range(10 * first + 1, 10 * first + 5)
        records = [make(n, page=f"ABC/2010/page_{n}.pdf") if name == "finqa" else make(n) for n in pages]
        (write_lines if name == "musique" else write_array)(folder / name / file, records)
    return folder
