"""Reading data files: what is refused, and in which order estimators stand."""

import json
from pathlib import Path

import pytest
from synthetic import studies

from figures.study_data import only, read_study
from qtrain.errors import UserError


def write(folder: Path, text: str) -> Path:
    (folder / "cold_start.json").write_text(text, encoding="utf-8")
    return folder


def test_missing_file_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cold_start\.json: missing; `python -m figures run cold_start` makes it"):
        read_study("cold_start", tmp_path)


@pytest.mark.parametrize("text", ["", "{", "\ud800".encode("utf-8", "surrogatepass").decode("latin1")])
def test_damaged_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_study("cold_start", write(tmp_path, text))


def test_file_of_another_study(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds the study 'adam_alike'"):
        read_study("cold_start", write(tmp_path, json.dumps(studies()["adam_alike"])))


@pytest.mark.parametrize(
    ("change", "key"), [({"p0": 0}, "rows.0.p0"), ({"seed": None}, "rows.0.seed"), ({"curve": {}}, "rows.0.curve.step")]
)
def test_wrong_value_is_named(tmp_path: Path, change: dict[str, object], key: str) -> None:
    data = studies()["cold_start"]
    data["rows"][0] |= change
    with pytest.raises(UserError, match=key):
        read_study("cold_start", write(tmp_path, json.dumps(data)))


def test_no_rows(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="rows"):
        read_study("cold_start", write(tmp_path, json.dumps(studies()["cold_start"] | {"rows": []})))


def test_estimators_stand_in_order(data_folder: Path) -> None:
    study = read_study("adam_conflict", data_folder)
    assert list(study.by_estimator) == [
        "grpo", "rb_rloo", "garl:q=0.25", "garl:q=0.5", "garl:q=0.75", "paft:q=0.75", "garl:q=1",
    ]  # fmt: skip
    assert all([row.seed for row in rows] == study.seeds for rows in study.by_estimator.values())


def test_only() -> None:
    assert only([2.0, 2.0], "it") == 2
    with pytest.raises(UserError, match=r"the rate differs between runs: 0\.1, 0\.2"):
        only([0.2, 0.1], "the rate")
