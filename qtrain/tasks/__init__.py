"""The tasks by name. To add one: a file here with a `TaskConfig` and a class, and one line in TASKS."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from qtrain.errors import UserError, did_you_mean
from qtrain.tasks.base import Example, Task, TaskConfig
from qtrain.tasks.limits import NO_LIMITS, RowLimits
from qtrain.tasks.qa import QATask
from qtrain.tasks.qa_config import FinQAConfig, HotPotQAConfig, MuSiQueConfig, PairsConfig
from qtrain.testbed.digit_sum import DigitSum, DigitSumConfig
from qtrain.testbed.multi_hop import MultiHop, MultiHopConfig
from qtrain.testbed.random_words import RandomWords, RandomWordsConfig

__all__ = ["TASKS", "Example", "Task", "TaskConfig", "make_task"]


class TaskEntry(NamedTuple):
    """A task's configuration class and what builds it."""

    config: type[TaskConfig]
    build: Callable[..., Task]
    reads_data: bool


TASKS: dict[str, TaskEntry] = {
    "digit_sum": TaskEntry(DigitSumConfig, DigitSum, reads_data=False),
    "multi_hop": TaskEntry(MultiHopConfig, MultiHop, reads_data=False),
    "random_words": TaskEntry(RandomWordsConfig, RandomWords, reads_data=False),
    "finqa": TaskEntry(FinQAConfig, QATask, reads_data=True),
    "hotpotqa": TaskEntry(HotPotQAConfig, QATask, reads_data=True),
    "musique": TaskEntry(MuSiQueConfig, QATask, reads_data=True),
    "pairs": TaskEntry(PairsConfig, QATask, reads_data=True),
}


def make_task(config: TaskConfig, data: Path | None, limits: RowLimits = NO_LIMITS) -> Task:
    """Build the task that a configuration names.

    Args:
        config: The table `[task]`.
        data: The configuration's `data`: where the records lie, for the tasks that read any.
        limits: What their rows must fit into (see `qtrain.prepare`).

    Raises:
        UserError: `data` is given where it is not needed, missing where it is, or not what the task reads.
    """
    entry = TASKS[config.name]
    if not entry.reads_data:
        if data is not None:
            raise UserError(f"data={str(data)!r}: task {config.name!r} makes its own examples; remove the key")
        return entry.build(config)
    return entry.build(config, data, limits)


def task_config(table: object) -> TaskConfig:
    """Check the table `[task]` against the class of the task that it names."""
    if isinstance(table, TaskConfig):
        return table
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        raise UserError(f"task: a table with a `name` is needed; tasks are {', '.join(TASKS)}")
    if table["name"] not in TASKS:
        raise UserError(f"task.name: unknown task {table['name']!r}; {did_you_mean(table['name'], TASKS)}")
    return TASKS[table["name"]].config.model_validate(table)
