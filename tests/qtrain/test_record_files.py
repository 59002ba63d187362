"""Files of records: CSV, Parquet and folders give the same records as JSON lines, and their mistakes are one line."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from qa_cases import build, pair, write_array, write_lines

from qtrain.cli import main
from qtrain.errors import UserError
from qtrain.tasks.rows import BadRecord
from qtrain.tasks.split_files import read_file

ROWS: list[dict[str, Any]] = [
    pair(number, context=context) for number, context in enumerate(["one, two", "a\nline", 'a "quote"', "é", "007"])
]


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    Dataset.from_list(rows).to_parquet(path)
    return path


WRITERS = {
    ".jsonl": write_lines, ".json": write_array, ".csv": write_csv, ".tsv": write_csv, ".parquet": write_parquet,
}  # fmt: skip


@pytest.mark.parametrize("ending", WRITERS)
def test_every_format_gives_the_same_records(tmp_path: Path, ending: str) -> None:
    rows = [*ROWS, pair(6, context=None)]
    reference = build("pairs", write_folder(tmp_path / "reference", ".jsonl", rows))
    task = build("pairs", write_folder(tmp_path / "data", ending, rows))
    assert task.held_out(9) == reference.held_out(9)
    assert task._train == reference._train
    assert task.dataset_report()["hashes"] == reference.dataset_report()["hashes"]


def write_folder(folder: Path, ending: str, rows: list[dict[str, Any]]) -> Path:
    folder.mkdir()
    WRITERS[ending](folder / f"train{ending}", rows[:4])
    WRITERS[ending](folder / f"validation{ending}", rows[4:])
    return folder


@settings(max_examples=40)
@given(st.lists(st.lists(st.text("ab,\"\n \t'é", min_size=1, max_size=6), min_size=2, max_size=2), max_size=5))
def test_csv_gives_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, cells: list[list[str]]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    rows = [{"x": "first", "y": "row"}, *({"x": x, "y": y} for x, y in cells)]
    write_csv(path, rows)
    assert [row.value for row in read_file(path) if not isinstance(row, BadRecord)] == rows


def test_rows_of_csv_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b'\xef\xbb\xbfquestion,answer\r\n"two\nlines",1\r\n\r\na,b,c\r\nwhy?,\xff\r\nq,\r\n')
    rows = list(read_file(path))
    assert [row.where for row in rows] == ["line 2", "line 5", "line 6", "line 7"]
    assert rows[0].value == {"question": "two\nlines", "answer": "1"}  # type: ignore[union-attr]
    assert rows[1] == BadRecord("line 5", "3 cells for 2 columns; put quotes around cells with commas")
    assert rows[2] == BadRecord("line 6", "not UTF-8: byte 0xff; save the file as UTF-8")
    assert rows[3].value == {"question": "q", "answer": None}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("x.csv", b"", "is empty; a first line with the names of the columns is needed"),
        ("x.csv", b"a,a\n1,2\n", "the first line names column 'a' twice; rename one"),
        (
            "x.csv",
            b'question,answer\n1,2\n"open,2\n',
            "line 3: not CSV: unexpected end of data; what follows cannot be read",
        ),
        ("x.csv", b'"a,b\n1,2\n', "line 1: not CSV: unexpected end of data; mend the names of the columns"),
        ("x.csv", b"question;answer\nwhy?;x\n", "question: Field required; did you mean 'question;answer'?"),
        ("x.csv", b"question,answer\n", "holds no records"),
        ("x.parquet", b"", "is not a whole Parquet file"),
        ("x.parquet", b"PAR1PAR1", "is not a whole Parquet file"),
        ("x.parquet", b"PAR1" + bytes(50) + b"PAR1", "cannot be read as Parquet: "),
        ("x.parquet", b"PAR1" + bytes(50), "is not a whole Parquet file, which begins and ends with PAR1"),
        ("no.csv", None, "no.csv: no such file"),
        ("no.parquet", None, "no.parquet: no such file"),
    ],
)
def test_files_that_cannot_be_read_are_one_line(tmp_path: Path, name: str, content: bytes | None, line: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as raised:
        build("pairs", tmp_path / name)
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)


def test_splits_in_parts_and_in_folders(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "dev" / "b").mkdir(parents=True)
    write_parquet(folder / "train-00000-of-00002.parquet", ROWS[:1])
    write_parquet(folder / "train-00001-of-00002.parquet", ROWS[1:2])
    write_csv(folder / "dev" / "b" / "2.csv", ROWS[2:3])
    write_lines(folder / "dev" / "b" / "10.jsonl", ROWS[3:4])
    (folder / "dev" / "a.json").write_text(json.dumps(ROWS[4], indent=1), encoding="utf-8")
    (folder / "dev" / "README.md").write_text("no records")
    task = build("pairs", folder)
    assert task.record_ids() == {"train": ["mine-0", "mine-1"], "held_out": ["mine-4", "mine-2", "mine-3"]}
    assert list(task.load_stats) == [f"{folder / 'train-00000-of-00002.parquet'} and 1 more", str(folder / "dev")]
    write_lines(folder / "dev" / "b" / "10.jsonl", [pair(3), pair(2)])
    with pytest.raises(
        UserError,
        match=r"dev: dev/b/10\.jsonl, line 2 has the id of dev/b/2\.csv, line 2 and other texts; mend",
    ):
        build("pairs", folder)


def test_folders_without_a_split_or_with_two_are_one_line(tmp_path: Path) -> None:
    write_lines(tmp_path / "trian.jsonl", ROWS)
    with pytest.raises(UserError, match=r"no train\.jsonl, nor \.json, .* nor a folder train; did you mean 'trian"):
        build("pairs", tmp_path)
    write_csv(tmp_path / "train.csv", ROWS[:2])
    write_csv(tmp_path / "train.tsv", ROWS[:2])
    write_csv(tmp_path / "test.tsv", ROWS[2:])
    with pytest.raises(UserError, match=r"both train\.csv and train\.tsv are files of train; keep one of them"):
        build("pairs", tmp_path)
    # The official name wins, as it always did; without dev files the test file is held out.
    write_lines(tmp_path / "train.jsonl", ROWS[:1])
    assert build("pairs", tmp_path).record_ids() == {"train": ["mine-0"], "held_out": ["mine-2", "mine-3", "mine-4"]}
    write_lines(tmp_path / "valid.jsonl", ROWS[1:2])
    assert build("pairs", tmp_path).record_ids()["held_out"] == ["mine-1"]
    assert build("pairs", tmp_path, held_out_split="test").record_ids()["held_out"] == ["mine-2", "mine-3", "mine-4"]


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_data_commands_read_other_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"problem": f"p{number}?", "solution": rf"\boxed{{{number}}}"} for number in range(3)]
    (tmp_path / "dev").mkdir()
    write_csv(tmp_path / "dev" / "x.csv", [*rows, {"problem": "p?", "solution": "none"}])
    options = ["--prompt", "problem", "--answer", "solution", "--extract", "boxed"]
    assert run("data", "check", "pairs", "--path", str(tmp_path), *options, "--json") == 0
    table = json.loads(capsys.readouterr().out)
    assert (table["records"], table["kept"], table["answer_types"]) == (4, 3, {"number": 3})
    assert table["malformed_records"] == ["dev/x.csv, line 5: solution: task.extract='boxed' finds no answer in it"]
    assert run("data", "show", "pairs", "--path", str(tmp_path), *options, "--variant", "cold", "--n", "1") == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["p0?<think>", "y*: 0", "4 prompt tokens, 2 answer tokens"]
    for words, line in (
        (["pairs", *options[:-1], "boxd"], "--extract boxd: did you mean 'boxed'?, or regex:PATTERN"),
        (["finqa", *options[:2]], "--prompt problem: is for pairs; finqa has a fixed layout"),
        (["pairs", "--prompt", "problm"], "problm: Field required; did you mean 'problem'? (task.prompt names"),
    ):
        assert run("data", "check", words[0], "--path", str(tmp_path / "dev" / "x.csv"), *words[1:]) == 2
        error = capsys.readouterr().err
        assert line in error
        assert error.count("\n") == 1
    (tmp_path / "empty").mkdir()
    assert run("data", "check", "pairs", "--path", str(tmp_path / "empty")) == 2
    assert "empty: no .jsonl, .json, .csv, .tsv, .parquet file in this folder" in capsys.readouterr().err
