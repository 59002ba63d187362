"""What the documentation has one type in a shell is what a run then has, through a real shell."""

import inspect
import re
import subprocess
from pathlib import Path

import pytest

from qtrain.config import read_config
from qtrain.tasks.qa_config import QAConfig

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "qtrain" / "configs" / "finqa_cold_tiny.toml"
SOURCES = {
    "docs/your-model.md": (ROOT / "docs" / "your-model.md").read_text(encoding="utf-8"),
    "docs/training.md": (ROOT / "docs" / "training.md").read_text(encoding="utf-8"),
    "the docstring": inspect.getdoc(QAConfig) or "",
}


def typed(line: str) -> list[str]:
    """The words that bash makes of a command line after its first one."""
    done = subprocess.run(
        ["bash", "-c", f"qtrain() {{ printf '%s\\0' \"$@\"; }}\n{line}"], capture_output=True, text=True, check=True
    )
    return done.stdout.split("\0")[:-1]


def overrides(text: str) -> list[str]:
    """Every override of an answer's prefix that a text shows, in quotes or without."""
    return re.findall(r"task\.answer_prefix=(?:\"[^\"]*\"|\$?'[^']*'|[^\s`]+)", text)


@pytest.mark.parametrize("source", SOURCES)
def test_the_documented_prefix_of_qwen3(source: str) -> None:
    shown = overrides(SOURCES[source])
    assert shown
    for override in shown:
        words = typed(f"qtrain train mine.toml {override}")
        assert words[:2] == ["train", "mine.toml"]
        config = read_config(CONFIG, tuple(words[2:]))
        assert config.task.model_dump()["answer_prefix"] == "\n\n", override


@pytest.mark.parametrize(
    ("line", "prefix"),
    [
        (r'task.answer_prefix="\n\n"', "\n\n"),
        (r"task.answer_prefix='\n\n'", "\n\n"),
        (r"task.answer_prefix=\\n\\n", "\n\n"),
        (r"""task.answer_prefix='"\n\n"'""", "\n\n"),
        (r"task.answer_prefix=$'\n\n'", "\n\n"),
        (r'task.answer_prefix=" "', " "),
        (r"task.answer_prefix=\ ", " "),
        (r'task.answer_prefix="Answer: "', "Answer: "),
        (r"""task.answer_prefix="'\n'" """, r"\n"),
        (r'task.answer_prefix=""', ""),
    ],
)
def test_other_ways_to_type_it(line: str, prefix: str) -> None:
    config = read_config(CONFIG, tuple(typed(f"qtrain {line}")))
    assert config.task.model_dump()["answer_prefix"] == prefix
