"""The README: one page, whose Python and TOML run, whose commands exist and links lead somewhere."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from qa_cases import tiny_model

from figures.cli import app as evidence
from qtheory.cli import app as theory
from qtrain.cli import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_it_is_one_page() -> None:
    assert len(README.splitlines()) <= 150
    assert len(README.encode()) <= 8000


def block(language: str) -> str:
    """The README's only block in this language."""
    (text,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return text


@pytest.mark.filterwarnings("ignore:.*:qtrain.trainer.SamplingWarning")
def test_its_python_runs_on_its_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sizes = {
        '"Qwen/Qwen3-0.6B"': json.dumps(str(tiny_model(tmp_path / "model"))),
        "prompts = 16, samples = 32": "prompts = 2, samples = 2, rationale_budget = 4, answer_budget = 4",
        "steps = 500": "steps = 1",
        "bfloat16": "float32",
        "checkpoint_every = 50": "checkpoint_every = 1",
    }
    text = block("toml")
    for documented, small in sizes.items():
        assert text.count(documented) == 1
        text = text.replace(documented, small)
    (tmp_path / "mine.toml").write_text(f"{text}eval.prompts = 2\n", encoding="utf-8")
    (tmp_path / "data").mkdir()
    for split in ("train", "dev"):
        rows = [{"question": f"{split}: what is {number} + 1?", "answer": str(number + 1)} for number in range(4)]
        (tmp_path / "data" / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    exec(block("python"), {})
    assert capsys.readouterr().out.count("log p(y*|x, z): [") == 2
    assert (tmp_path / "runs" / "mine" / "result.json").exists()


def test_the_numbers_beside_trl_are_the_benchmarks() -> None:
    section = json.loads((ROOT / "docs" / "benchmarks.json").read_text(encoding="utf-8"))["sections"]["update"]
    shape = {"prompt": 1500, "completion": 200, "samples": 32, "vocabulary": 32_000}
    at = {row["name"]: row for row in section["rows"] if shape.items() <= row.items()}

    def figures(name: str) -> tuple[str, str]:
        seconds = at[name]["seconds"]
        return f"{seconds:.1f}" if seconds < 10 else f"{seconds:.0f}", f"{at[name]['bytes'] / 1e9:.2f}"

    ours, shipped, patched, plain = map(
        figures, ("qtrain", "TRL as shipped", "TRL, best settings, patched", "plain, 8 rows")
    )
    wanted = (
        f"{ours[0]} s and {ours[1]} GB on two CPU threads, where TRL {section['libraries']['trl']['trl']} takes "
        f"{shipped[0]} s and {shipped[1]} GB as shipped ({patched[0]} s and {patched[1]} GB with its head patched), "
        f"and whole rows {plain[0]} s and {plain[1]} GB"
    )
    assert wanted in " ".join(README.split())


@pytest.mark.parametrize("line", re.findall(r"^\$ (.*)$", README, re.MULTILINE))
def test_commands_exist(line: str) -> None:
    words = shlex.split(line, comments=True)
    if words[0] == "pip":
        (extra,) = re.fullmatch(r"\.\[(\w+)\]", words[2]).groups()  # type: ignore[union-attr]
        assert words[:2] == ["pip", "install"]
        assert extra in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif words[0] == "qtrain":
        app.parse_args(words[1:], exit_on_error=False, print_error=False)
        assert all((ROOT / word).exists() for word in words if word.endswith(".toml") and word != "mine.toml")
    elif words[0] == "qtheory":
        theory.parse_args(words[1:], exit_on_error=False, print_error=False)
    else:
        assert words[:3] == ["python", "-m", "figures"]
        evidence.parse_args(words[3:], exit_on_error=False, print_error=False)


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", README))
def test_links_lead_somewhere(target: str) -> None:
    assert target.startswith("https://") or Path(ROOT / target).exists()
