"""A cell of the paper's tables: a data set, a start and an estimator, and its configuration."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from qtheory.command.names import did_you_mean
from qtrain.config import Config, EstimatorChoice, read_config
from qtrain.errors import UserError

Data = Literal["finqa", "hotpotqa", "musique"]
Start = Literal["cold", "warm"]

CONFIGS = Path(__file__).parent / "configs"

SIZES: dict[Data, dict[str, int]] = {
    "finqa": {"train": 6145, "validation": 872, "test": 1132},
    "hotpotqa": {"train": 9067, "validation": 342, "test": 343},
    "musique": {"train": 9985, "validation": 579, "test": 445},
}
"""The paper's numbers of records."""

TEST: dict[Data, dict[str, Any]] = {
    "finqa": {"task.held_out_split": "test"},
    "hotpotqa": {"task.held_out_half": "test"},
    "musique": {"task.held_out_half": "test"},
}
"""Overrides that turn a configuration evaluated on validation records into one evaluated on test records."""

TEST_SIZES: dict[Data, dict[str, Any]] = {
    "finqa": {"eval.prompts": 1200},  # all of them
    "hotpotqa": {"task.held_out_size": 343, "eval.prompts": 343},
    "musique": {"task.held_out_size": 445, "eval.prompts": 445},
}
"""Numbers of test records; overrides on the command line take precedence."""

OWN_KEYS = {
    "name": "a cell has its own name",
    "estimator": "a cell is its estimator; choose cells with --only",
    "data": "give the folder of all data sets with --data",
    "task.name": "a cell is its data set; choose cells with --only",
    "task.variant": "a cell is its start; choose cells with --only",
}
"""Keys that overrides must not set, and why."""


@dataclass(frozen=True)
class Cell:
    """One training run of the paper, or the base model that is only evaluated.

    Attributes:
        data: Data set.
        start: cold or warm.
        estimator: A specification that `EstimatorChoice` parses; None for the base model, which is only prompted.
    """

    data: Data
    start: Start
    estimator: str | None

    @property
    def name(self) -> str:
        """The name in commands and folders: finqa-cold-garl-q.75."""
        return f"{self.data}-{self.start}-{self._method('-q').lower()}"

    @property
    def label(self) -> str:
        """The name in the paper: GARL q=.75."""
        return self._method(" q=")

    def _method(self, before_q: str) -> str:
        if self.estimator is None:
            return "base"
        choice = EstimatorChoice.parse(self.estimator)
        q = dict(choice.params).get("q")
        return choice.name.upper() + ("" if q is None else f"{before_q}{q:g}".replace("0.", "."))

    def config(self, overrides: Sequence[str] = (), data: Path | None = None, *, test: bool = False) -> Config:
        """The configuration of the cell.

        Args:
            overrides: `key=value`, which override the file's values.
            data: A folder with one subfolder of official files per data set; None reads from the hub.
            test: Evaluate on the test records in place of the validation ones.

        Raises:
            UserError: An override is invalid, or sets a key of OWN_KEYS.
        """
        check_overrides(overrides)
        sizes = _overrides(TEST_SIZES[self.data]) if test else []
        forced = _overrides(TEST[self.data]) if test else []
        path = CONFIGS / f"{self.data}_{self.start}.toml"
        values = {"name": self.name, "title": f"{self.data}, {self.start}: {self.label}"}
        if self.estimator is not None:
            values["estimator"] = self.estimator
        if data is not None:
            values["data"] = str(data / self.data)
        return read_config(path, (*sizes, *overrides, *forced)).with_values(values, where=self.name)


def check_overrides(overrides: Sequence[str]) -> None:
    """Refuse overrides of keys in OWN_KEYS.

    Raises:
        UserError: An override sets such a key.
    """
    for override in overrides:
        key = override.partition("=")[0].strip()
        if key in OWN_KEYS:
            raise UserError(f"override {override!r}: {OWN_KEYS[key]}")


def choose(cells: Sequence[Cell], names: Sequence[str] | None) -> list[Cell]:
    """The cells with these names, or all cells if no name is given, in the table's order.

    Raises:
        UserError: A name is unknown.
    """
    known = [cell.name for cell in cells]
    for name in names or ():
        if name not in known:
            raise UserError(f"--only {name}: no such cell; {did_you_mean(name, known)}")
    return [cell for cell in cells if not names or cell.name in names]


def _overrides(values: dict[str, Any]) -> list[str]:
    return [f"{key}={value}" for key, value in values.items()]
