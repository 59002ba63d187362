"""Tables of the estimators: the registry, and the facts on each estimator's page."""

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
                f"`{estimator.name}`",
                NEEDS[estimator.inputs] + (", rng" if estimator.stochastic else ""),
                _text(estimator.target),
                _text(estimator.paper),
                _text(estimator.limits),
            ]
            for estimator in ESTIMATORS.values()
        ],
        numbers=False,
    )


def estimator_facts(name: str, folder: Path = DATA) -> str:
    """One estimator's inputs, parameters, target, origin and limits, a line each; `folder` is not read."""
    del folder
    estimator = ESTIMATORS[name]
    reads = {"log_w": "log-weights of the gold answer", "reward": "rewards of sampled answers"}[estimator.inputs]
    extra = [" a generator (it draws at random)"] * estimator.stochastic + [
        " the rationales' score norms"
    ] * estimator.needs_score_norm
    extra += [" the gold answer's length"] * estimator.needs_answer_length
    parameters = [
        f"`{key}`" + (" (required)" if parameter.required else f" = {_default(parameter.default)}")
        for key, parameter in estimator.parameters.items()
    ]
    facts = {
        "needs": ",".join([reads, *extra]),
        "parameters": ", ".join(parameters) or "none",
        "target": _text(estimator.target),
        "from": _text(estimator.paper),
        "known limits": _text(estimator.limits),
    }
    return table(["", ""], [[f"**{key}**", value] for key, value in facts.items()], numbers=False)


def _default(value: object) -> str:
    return "M" if value is None else str(value).lower() if isinstance(value, bool) else f"{value}"


def _text(text: str) -> str:
    """Plain text as Markdown, with asterisks escaped."""
    return text.replace("*", r"\*")
