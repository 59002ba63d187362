"""Table `reliability`: its numbers and sums, and one line for a file that is missing or wrong."""

from pathlib import Path

import pytest

from figures.tables.reliability import reliability_table
from qtrain.errors import UserError


def test_numbers(data_folder: Path) -> None:
    said = reliability_table(data_folder)
    assert "| killed at a random moment | 9 | 8 |" in said
    assert "| killed at one operation on a file each | 60 | 59 |" in said
    assert "| all | 11 | 10 | 1 | 2 | 3 |" in said
    assert "| resident memory at step 20 | 8.5 MiB |" in said
    assert "| slope, steps 21 to 40 | -0.12 MiB a thousand steps |" in said


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "missing; `make reliability`"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"kills": 7}', "cannot be read"),
    ],
)
def test_files_that_are_missing_or_wrong(tmp_path: Path, content: str | None, says: str) -> None:
    if content is not None:
        (tmp_path / "reliability.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=says) as error:
        reliability_table(tmp_path)
    assert "\n" not in str(error.value)
