"""Table `estimators`: the registry as the docs show it."""

from pathlib import Path

from figures.markdown import table
from figures.study_data import DATA
from qtheory.estimators import ESTIMATORS

NEEDS = {"log_w": "weights", "reward": "rewards"}


def estimator_table(folder: Path = DATA) -> str:
    """One row per registered estimator; `folder` is not read."""
    del folder
    return table(
        ["name", "needs", "target", "from", "known limits"],
        [
            [
                f"`{one.name}`",
                NEEDS[one.inputs] + (", rng" if one.stochastic else ""),
                _text(one.target),
                _text(one.paper),
                _text(one.limits),
            ]
            for one in ESTIMATORS.values()
        ],
        numbers=False,
    )


def _text(words: str) -> str:
    """Plain words in Markdown, where an asterisk would start emphasis."""
    return words.replace("*", r"\*")
