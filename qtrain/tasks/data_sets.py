"""The data sets by name: how their files and records look, and what is done with them before training.

A file's rows (`rows.py`) become question records (`records.py`) by the data set's models (one file each); `check.py`
counts, `sample.py` splits and sub-samples. To add one: a file with a DataSet, and its entry in DATA_SETS.
"""

from qtheory.command.names import did_you_mean
from qtrain.errors import UserError
from qtrain.tasks.finqa import FINQA
from qtrain.tasks.hotpotqa import HOTPOTQA
from qtrain.tasks.musique import MUSIQUE
from qtrain.tasks.pairs import PAIRS
from qtrain.tasks.records import DataSet

__all__ = ["DATA_SETS", "data_set"]

DATA_SETS: dict[str, DataSet] = {one.name: one for one in (FINQA, HOTPOTQA, MUSIQUE, PAIRS)}


def data_set(name: str) -> DataSet:
    """Look a data set up.

    Raises:
        UserError: There is none of that name.
    """
    if name not in DATA_SETS:
        raise UserError(f"unknown data set {name!r}; {did_you_mean(name, DATA_SETS)}")
    return DATA_SETS[name]
