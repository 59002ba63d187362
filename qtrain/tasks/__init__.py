"""The tasks by name, and tasks of a user's own."""

import importlib
import inspect
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import PrivateAttr, ValidationInfo, model_validator

from qtheory.command.names import did_you_mean
from qtrain import plugins
from qtrain.errors import UserError
from qtrain.tasks.base import Demonstration, Example, Task, TaskConfig
from qtrain.tasks.limits import NO_LIMITS, RowLimits
from qtrain.tasks.tokenizer import load_tokenizer

__all__ = ["TASKS", "Demonstration", "Example", "Task", "TaskConfig", "make_task"]


class TaskEntry(NamedTuple):
    """Where a task's configuration and the task itself are defined, as `module:object`."""

    config: str
    build: str
    reads_data: bool


def _on_records(config: str) -> TaskEntry:
    return TaskEntry(f"qtrain.tasks.qa_config:{config}", "qtrain.tasks.qa:QATask", reads_data=True)


def _of_the_testbed(module: str, name: str) -> TaskEntry:
    return TaskEntry(f"qtrain.testbed.{module}:{name}Config", f"qtrain.testbed.{module}:{name}", reads_data=False)


TASKS: dict[str, TaskEntry] = {
    "digit_sum": _of_the_testbed("digit_sum", "DigitSum"),
    "multi_hop": _of_the_testbed("multi_hop", "MultiHop"),
    "random_words": _of_the_testbed("random_words", "RandomWords"),
    "finqa": _on_records("FinQAConfig"),
    "hotpotqa": _on_records("HotPotQAConfig"),
    "musique": _on_records("MuSiQueConfig"),
    "pairs": _on_records("PairsConfig"),
}
"""Tasks that come with the package; each is imported when it is used."""


class OwnTaskConfig(TaskConfig, frozen=True, extra="allow"):  # pyright: ignore[reportGeneralTypeIssues] - as TaskConfig
    """Table `[task]` of a user's own task: every key but these is an argument of the task's constructor."""

    tokenizer: Path | None = None
    tokenizer_revision: str | None = None
    _code_allowed: bool = PrivateAttr(default=True)

    @model_validator(mode="after")
    def _remember_whether_code_may_run(self, info: ValidationInfo) -> "OwnTaskConfig":
        allowed = (info.context or {}).get("code_allowed", True)
        self._code_allowed = allowed  # pyright: ignore[reportAttributeAccessIssue] - private ones may be set
        return self

    @property
    def code_allowed(self) -> bool:
        """Whether the module that it names may be imported."""
        return self._code_allowed


def make_task(config: TaskConfig, data: Path | None, limits: RowLimits = NO_LIMITS) -> Task:
    """Build the task that a configuration names.

    Args:
        config: The table `[task]`.
        data: The configuration's `data`: where the records lie, for the tasks that read any.
        limits: What their rows must fit into (see `qtrain.prepare`).

    Raises:
        UserError: `data` is given where it is not needed, missing where it is, or not what the task reads; or a user's
            own task cannot be imported or built.
    """
    reads_data = not isinstance(config, OwnTaskConfig) and TASKS[config.name].reads_data
    if not reads_data and data is not None:
        raise UserError(f"data={str(data)!r}: task {config.name!r} makes its own examples; remove the key")
    if isinstance(config, OwnTaskConfig):
        return _make_own(config)
    build = _imported(TASKS[config.name].build)
    return build(config, data, limits) if reads_data else build(config)


def _imported(name: str) -> Any:
    """An object of this package by its `module:object`."""
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
    """Check the table `[task]` against the class of the task that it names.

    Args:
        table: The table.
        code_allowed: Whether a task that is named as `module:object` may be imported later.

    Raises:
        UserError: It is no table, or names no task.
    """
    if isinstance(table, TaskConfig):
        return table
    own = plugins.registered(plugins.TASKS)
    known = [*TASKS, *own]
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        raise UserError(f"task: a table with a `name` is needed; tasks are {', '.join(known)}")
    name = table["name"]
    if name in TASKS:
        return _imported(TASKS[name].config).model_validate(table)
    if name in own or plugins.is_code(name):
        return OwnTaskConfig.model_validate(table, context={"code_allowed": code_allowed})
    raise UserError(f"task.name: unknown task {name!r}; {did_you_mean(name, known)}, or module:Class of your own")
