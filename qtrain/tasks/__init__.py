"""Tasks: prompts and gold answers, looked up by name or imported from a user's code.

`base` defines the interface. `qa` is the task on records of questions: `rows` reads files, `finqa`, `hotpotqa`,
`musique` and `pairs` describe the data sets (`tabular` and `split_files` read CSV, Parquet and folders, `extract` finds
answers inside longer texts), `load` reads records from files or the hub, `examples` and `prompts` turn
them into examples, `splits` divides them, and `inspection` prints them. The testbed's tasks are in `qtrain.testbed`.
"""

import importlib
import inspect
from pathlib import Path
from typing import Any, NamedTuple

from qtheory.command.names import did_you_mean
from qtrain import plugins
from qtrain.errors import UserError
from qtrain.tasks.base import Demonstration, Example, Task, TaskConfig
from qtrain.tasks.delimiters import DEFAULT_DELIMITERS, Delimiters, closer_tokens
from qtrain.tasks.limits import NO_LIMITS, RowLimits
from qtrain.tasks.tokenizer import load_tokenizer

__all__ = ["TASKS", "Demonstration", "Example", "Task", "TaskConfig", "make_task"]


class TaskEntry(NamedTuple):
    """A task that comes with the package.

    Attributes:
        config: Class of the table `[task]`, as `module:object`.
        build: Class of the task, as `module:object`.
        reads_data: Whether the task reads records.
    """

    config: str
    build: str
    reads_data: bool


def _qa_entry(config: str) -> TaskEntry:
    return TaskEntry(f"qtrain.tasks.qa_config:{config}", "qtrain.tasks.qa:QATask", reads_data=True)


def _testbed_entry(module: str, name: str) -> TaskEntry:
    return TaskEntry(f"qtrain.testbed.{module}:{name}Config", f"qtrain.testbed.{module}:{name}", reads_data=False)


TASKS: dict[str, TaskEntry] = {
    "digit_sum": _testbed_entry("digit_sum", "DigitSum"),
    "multi_hop": _testbed_entry("multi_hop", "MultiHop"),
    "random_words": _testbed_entry("random_words", "RandomWords"),
    "finqa": _qa_entry("FinQAConfig"),
    "hotpotqa": _qa_entry("HotPotQAConfig"),
    "musique": _qa_entry("MuSiQueConfig"),
    "pairs": _qa_entry("PairsConfig"),
}
"""The package's tasks by name; each is imported when it is used."""


class OwnTaskConfig(TaskConfig, frozen=True, extra="allow"):  # pyright: ignore[reportGeneralTypeIssues] - as TaskConfig
    """Table `[task]` of a user's own task; all other keys are arguments of the task's constructor.

    Attributes:
        tokenizer: Folder or hub id of the tokenizer; by default that of a pretrained model, or else a byte tokenizer.
        tokenizer_revision: A branch, tag or commit on the hub.
    """

    tokenizer: Path | None = None
    tokenizer_revision: str | None = None


def make_task(
    config: TaskConfig, data: Path | None, limits: RowLimits = NO_LIMITS, think: Delimiters = DEFAULT_DELIMITERS
) -> Task:
    """Build the task that a configuration names.

    Args:
        config: The table `[task]`.
        data: The configuration's `data`: file or folder of the records, for tasks that read records.
        limits: Limits on the length of a row, for tasks that read records (see `qtrain.prepare`).
        think: The delimiters of a rationale.

    Raises:
        UserError: `data` is given to a task without records, is missing, or is not in the task's format; or a user's
            own task cannot be imported or built.
    """
    reads_data = not isinstance(config, OwnTaskConfig) and TASKS[config.name].reads_data
    if not reads_data and data is not None:
        raise UserError(f"data={str(data)!r}: task {config.name!r} makes its own examples; remove the key")
    if isinstance(config, OwnTaskConfig):
        task = _make_own(config)
    else:
        build = _import_object(TASKS[config.name].build)
        task = build(config, data, limits, think) if reads_data else build(config)
    if not reads_data:
        closer_tokens(task.tokenizer, think)
        task.think = think
    return task


def _import_object(name: str) -> Any:
    """Import an object of this package by its `module:object`."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _make_own(config: OwnTaskConfig) -> Task:
    where = f"task.name={config.name!r}"
    if config.name in plugins.registered(plugins.TASKS):
        build = plugins.load_registered(plugins.TASKS, config.name)
    elif config.code_allowed:
        build = plugins.load(config.name, "task.name")
    else:
        raise plugins.refuse_code("task.name", config.name)
    if not (isinstance(build, type) and issubclass(build, Task)):
        raise UserError(f"{where}: a subclass of qtrain.Task is needed, not {build!r:.80}")
    arguments: dict[str, Any] = dict(config.model_extra or {})
    known = {name: parameter for name, parameter in inspect.signature(build).parameters.items() if name != "tokenizer"}
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    for key in arguments:
        if key not in known and not takes_any:
            hint = did_you_mean(key, known) if known else "it takes none"
            raise UserError(f"task.{key}: {config.name} has no argument {key!r}; {hint}")
    for key, parameter in known.items():
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if named and parameter.default is parameter.empty and key not in arguments:
            raise UserError(f"task.{key}: {config.name} needs it; add the key to the table [task]")
    if "tokenizer" in inspect.signature(build).parameters:
        arguments["tokenizer"] = load_tokenizer(config.tokenizer, config.tokenizer_revision)
    elif config.tokenizer is not None:
        raise UserError(
            f"{where}: its constructor has no argument `tokenizer`, which a pretrained model's task needs; add it"
        )
    try:
        task = build(**arguments)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{where}: {plugins.describe(error)}") from None
    if getattr(task, "tokenizer", None) is None:
        raise UserError(f"{where}: {build.__name__} sets no `tokenizer`; set it in the constructor")
    return task


def task_config(table: object, *, code_allowed: bool = True) -> TaskConfig:
    """Check the table `[task]` against the settings of the task that it names.

    Args:
        table: The table.
        code_allowed: Whether a task or an extractor that is named as `module:object` may be imported later.

    Raises:
        UserError: The value is not a table, or does not name a task.
    """
    if isinstance(table, TaskConfig):
        return table
    registered = plugins.registered(plugins.TASKS)
    known = [*TASKS, *registered]
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        raise UserError(f"task: a table with a `name` is needed; tasks are {', '.join(known)}")
    name = table["name"]
    if name in TASKS:
        return _import_object(TASKS[name].config).model_validate(table, context={"code_allowed": code_allowed})
    if name in registered or plugins.is_code(name):
        return OwnTaskConfig.model_validate(table, context={"code_allowed": code_allowed})
    raise UserError(f"task.name: unknown task {name!r}; {did_you_mean(name, known)}, or module:Class of your own")
