"""`python -m figures run`: a study is its runs, and a mistake is one line."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from figures.cli import main
from figures.studies import STUDIES
from figures.studies.shipped import choices
from figures.studies.study import run_study
from qtrain.comparison import cells_of
from qtrain.config import Config
from qtrain.jobs.runner import Run
from qtrain.runs.folder import read_json


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder with an empty cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_a_study_is_its_runs(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def study(seeds: Sequence[int], folder: Path) -> list[Run]:
        """Two of them."""
        return cells_of(config, choices("grpo", "garl:q=1"), seeds, folder)

    monkeypatch.setitem(STUDIES, "cold_start", study)
    data = run_study("cold_start", [3], tmp_path / "runs", tmp_path / "data.json", jobs=1)
    assert read_json(tmp_path / "data.json", "a study") == data
    assert data["about"] == "Two of them."
    assert [(row["estimator"], row["seed"]) for row in data["rows"]] == [("grpo", 3), ("garl:q=1", 3)]
    assert all(row["curve"]["step"] == [0, 2, 3] for row in data["rows"])


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("cold_strt", "unknown study 'cold_strt'; did you mean 'cold_start'?"),
        ("cold_start -o file/data.json", "data.json: cannot be written"),
        ("cold_start -o .", ".: cannot be written; choose another --output"),
        ("best_learning_rates", "run the study learning_rates first"),
        ("cold_start --seeds 0", "--seeds 0: at least 1 is needed"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    words: str, line: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "file").write_text("", encoding="utf-8")
    with pytest.raises(SystemExit) as stop:
        main(["run", *words.split()])
    error = capsys.readouterr().err
    assert (stop.value.code, error.count("\n")) == (2, 1)
    assert error.startswith("figures: ")
    assert line in error
    assert [path.name for path in folder.iterdir()] == ["file"]
