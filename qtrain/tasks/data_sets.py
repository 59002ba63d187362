"""The registry of data sets.

A data set's file defines pydantic models of its rows, which turn them (`rows.py`) into question records (`records.py`).
To add a data set, write a file with a `DataSet`, enter it in `DATA_SETS`, and add its table to `qa_config.py` and its
name to `qtrain.tasks.TASKS`.
"""

from qtheory.command.names import did_you_mean
from qtrain.errors import UserError
from qtrain.tasks.finqa import FINQA
from qtrain.tasks.hotpotqa import HOTPOTQA
from qtrain.tasks.musique import MUSIQUE
from qtrain.tasks.pairs import PAIRS
from qtrain.tasks.records import DataSet

__all__ = ["DATA_SETS", "data_set"]

DATA_SETS: dict[str, DataSet] = {dataset.name: dataset for dataset in (FINQA, HOTPOTQA, MUSIQUE, PAIRS)}


def data_set(name: str) -> DataSet:
    """Look up a data set by name.

    Raises:
        UserError: No data set has this name.
    """
    if name not in DATA_SETS:
        raise UserError(f"unknown data set {name!r}; {did_you_mean(name, DATA_SETS)}")
    return DATA_SETS[name]
