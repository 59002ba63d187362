"""Tables of the estimators: the registry as the docs show it, and what each one's page says of it."""

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


def estimator_facts(name: str, folder: Path = DATA) -> str:
    """One estimator: what it reads, its parameters, target, origin and limits, a line each; `folder` is not read."""
    del folder
    one = ESTIMATORS[name]
    reads = {"log_w": "log-weights of the gold answer", "reward": "rewards of sampled answers"}[one.inputs]
    extra = [" a generator (it draws at random)"] * one.stochastic + [
        " the rationales' score norms"
    ] * one.needs_score_norm
    extra += [" the gold answer's length"] * one.needs_answer_length
    parameters = [
        f"`{key}`" + (" (required)" if parameter.required else f" = {_default(parameter.default)}")
        for key, parameter in one.parameters.items()
    ]
    facts = {
        "needs": ",".join([reads, *extra]),
        "parameters": ", ".join(parameters) or "none",
        "target": _text(one.target),
        "from": _text(one.paper),
        "known limits": _text(one.limits),
    }
    return table(["", ""], [[f"**{key}**", value] for key, value in facts.items()], numbers=False)


def _default(value: object) -> str:
    return "M" if value is None else str(value).lower() if isinstance(value, bool) else f"{value}"


def _text(words: str) -> str:
    """Plain words in Markdown, where an asterisk would start emphasis."""
    return words.replace("*", r"\*")
