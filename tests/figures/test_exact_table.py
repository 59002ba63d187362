"""Tables `exact_accuracy` and `exact_speed`: their numbers, and one line for files that are missing or wrong."""

import json
from pathlib import Path

import pytest
from synthetic import EXACT

from figures.tables.exact import exact_accuracy_table, exact_speed_table
from qtrain.errors import UserError


def test_numbers(data_folder: Path) -> None:
    assert "| plugin | 7 | 1.0e-15 | 2.0e-14 | 3.0e-13 | 4.0e-15 |" in exact_accuracy_table(data_folder)
    said = exact_speed_table(data_folder)
    assert "| mean | 5.4e+04 | 2.5 | 1e+05 | 1e+23 |" in said
    assert "Medians of 5 repeats; processor x86_64, cores used 1." in said


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "missing; `python -m figures accuracy --json "),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        (json.dumps(EXACT["exact_accuracy"] | {"quick": True}), "holds a quick run"),
        (json.dumps(EXACT["exact_accuracy"] | {"rows": []}), "holds a quick run"),
    ],
)
def test_files_that_are_missing_or_wrong(tmp_path: Path, content: str | None, says: str) -> None:
    if content is not None:
        (tmp_path / "exact_accuracy.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as error:
        exact_accuracy_table(tmp_path)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
