"""`python -m figures`: what it writes, and one line for every mistake."""

from pathlib import Path

import pytest

from figures.cli import main
from figures.registry import FIGURES, TABLES


def test_one_figure(data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["plot", "learning_rates", "--data", str(data_folder), "--out", str(tmp_path / "out")])
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["learning_rates.pdf", "learning_rates.png", "learning_rates.svg"]
    assert sorted(Path(line).name for line in capsys.readouterr().out.splitlines()) == written


def test_tables(data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = {name: FIGURES[name] for name in ("cold_start", "escape_exponents", "continuum")}
    monkeypatch.setattr("figures.render.FIGURES", few)
    main(["tables", "--data", str(data_folder), "--out", str(tmp_path)])
    expected = {f"{name}.md" for name in TABLES} | {f"figure_{name}.md" for name in few}
    assert {path.name for path in tmp_path.iterdir()} == expected


def test_list_names_data_command_and_cost(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["plot", "--list", "--data", str(data_folder)])
    out = capsys.readouterr().out
    for name, entry in FIGURES.items():
        assert f"{name}\n  shows  {entry.shows}" in out
        assert all(f"{study}.json, made by `python -m figures run {study}`: " in out for study in entry.studies)
    assert "`python -m figures run cold_start`: 18 runs, 0.1 hours of one core" in out  # 18 x 30 s
    main(["plot", "--list", "--data", str(tmp_path)])
    assert "`python -m figures run cold_start`: not made yet" in capsys.readouterr().out


@pytest.mark.slow
def test_costs_are_measured_and_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["plot", "--list", "--data", str(tmp_path)])
    assert capsys.readouterr().out.count("cost   not measured yet") == len(FIGURES)
    monkeypatch.setattr("figures.command.FIGURES", {"continuum": FIGURES["continuum"]})
    monkeypatch.chdir(tmp_path)
    main(["plot", "--costs", "--data", str(tmp_path)])
    assert capsys.readouterr().out == f"{tmp_path / 'figure_costs.json'}\n"
    main(["plot", "--list", "--data", str(tmp_path)])
    assert " processor seconds" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name figures or pass --all; there are headline, cold_start"),
        (["cold_start", "--all"], "name figures or pass --all"),
        (["cold_strat"], "unknown figure 'cold_strat'; did you mean 'cold_start'?"),
        (["zzz"], "unknown figure 'zzz'; valid are: headline, cold_start, learning_rates, "),
        (["--costs", "--all"], "--costs measures all figures"),
        (["--al"], "--al"),
        (["--all", "--data", "nowhere"], "nowhere/cold_start.json: missing; `python -m figures run cold_start`"),
    ],
)
def test_mistakes(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main(["plot", *words, "--out", "out"])
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("figures: ")
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_when_one_data_file_is_missing(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    some = tmp_path / "data"
    some.mkdir()
    for name in ("cold_start", "adam_conflict", "adam_alike"):
        (some / f"{name}.json").write_bytes((data_folder / f"{name}.json").read_bytes())
    with pytest.raises(SystemExit):
        main(["plot", "--all", "--data", str(some), "--out", str(tmp_path / "out")])
    assert "learning_rates.json: missing" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_out_is_a_file(data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("", encoding="utf-8")
    with pytest.raises(SystemExit) as exit_:
        main(["plot", "cold_start", "--data", str(data_folder), "--out", str(tmp_path / "out")])
    assert exit_.value.code == 2
    assert "cannot be written" in capsys.readouterr().err
