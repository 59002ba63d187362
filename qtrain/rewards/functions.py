"""A user's reward function: load it, check its arguments, and call it on samples."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from qtheory.command.names import did_you_mean
from qtrain import plugins
from qtrain.errors import UserError


class Sample(NamedTuple):
    """A sampled answer, with all that a reward function may ask for.

    Attributes:
        prompt: The prompt as the model reads it.
        messages: The chat that the prompt was made from; None if the record has none.
        completion: The sampled answer, without the end token and without `task.answer_prefix`.
        rationale: The sampled rationale, its delimiter included if the model wrote it.
        answer: The gold answer.
        answers: All gold answers: `answer`, its aliases, and their spellings by the tokenizer if these differ.
        columns: The example's `columns`: for `pairs` those that the table [task] does not name.
    """

    prompt: str
    messages: list[dict[str, Any]] | None
    completion: str
    rationale: str
    answer: str
    answers: tuple[str, ...]
    columns: Mapping[str, Any]


@dataclass(frozen=True)
class RewardFunction:
    """A reward function and how to call it.

    Attributes:
        name: Its `module:object` name.
        function: The function.
        arguments: The fields of `Sample` that it takes, as keyword arguments.
        batch: Whether it takes a list for each argument and returns a list (the function's attribute `batch`).
        binary: Whether it promises to return 0 or 1 alone (the function's attribute `binary`).
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[str, ...]
    batch: bool
    binary: bool

    def keywords(self, sample: Sample) -> dict[str, Any]:
        """The keyword arguments for one sample."""
        return {name: getattr(sample, name) for name in self.arguments}

    def call(self, keywords: Mapping[str, Any]) -> float | str:
        """Return the reward of one sample, or a description of the error."""
        try:
            return self._check(self.function(**keywords))
        except (Exception, SystemExit) as error:
            return plugins.describe(error)

    def call_batch(self, batch: Sequence[Mapping[str, Any]]) -> list[float | str]:
        """Return the reward of each sample of a batch, or a description of the error, from one call."""
        lists = {name: [keywords[name] for keywords in batch] for name in self.arguments}
        try:
            values = list(self.function(**lists))
        except (Exception, SystemExit) as error:
            return [plugins.describe(error)] * len(batch)
        if len(values) != len(batch):
            return [f"returns {len(values)} rewards for {len(batch)} samples"] * len(batch)
        return [self._check(value) for value in values]

    def _check(self, value: Any) -> float | str:
        """Return the value as a float, or a description of what is wrong with it."""
        try:
            number = float(value)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            return f"returns {value!r:.80}; return a number"
        if isinstance(value, str) or not math.isfinite(number):
            return f"returns {value!r:.80}; return a finite number"
        if self.binary and number not in (0.0, 1.0):
            return f"returns {number:g}; its attribute `binary` promises 0 or 1"
        return number


def load_function(name: str) -> RewardFunction:
    """Import a reward function and check that the arguments it needs exist.

    Raises:
        UserError: It cannot be imported, is not a function, or needs an argument that rewards do not get.
    """
    where = f"reward={name!r}"
    if name.startswith("__main__:"):
        raise UserError(f"{where}: the function runs in another process; put it into a file, as module:function")
    function = plugins.load(name, "reward")
    if not callable(function) or isinstance(function, type):
        raise UserError(f"{where}: a function is needed, not {function!r:.80}")
    parameters = inspect.signature(function).parameters
    arguments = []
    for key, parameter in parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            arguments += [field for field in Sample._fields if field not in arguments]
        elif key in Sample._fields and parameter.kind is not parameter.POSITIONAL_ONLY:
            arguments.append(key)
        elif parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL:
            raise UserError(f"{where}: it needs {key!r}, which rewards do not get; {did_you_mean(key, Sample._fields)}")
    if not arguments:
        raise UserError(f"{where}: it takes no argument of a reward; valid are: {', '.join(Sample._fields)}")
    batch, binary = (bool(getattr(function, mark, False)) for mark in ("batch", "binary"))
    return RewardFunction(name, function, tuple(arguments), batch, binary)
