r"""Extract the gold answer from a longer text, such as a worked solution that ends in \boxed{42} or in #### 42."""

import json
import re
from collections.abc import Callable

from qtheory.command.names import did_you_mean
from qtrain import plugins
from qtrain.errors import UserError

Extractor = Callable[[object], object]
"""Maps the value of the answer column to the answer, or to None if the value has no answer."""


def after_hashes(text: str) -> str | None:
    """The text after the last ####, as in GSM8K; None if there is no ####."""
    _, mark, answer = text.rpartition("####")
    return answer.strip() if mark else None


def boxed(text: str) -> str | None:
    r"""The contents of the last \boxed{...} or \fbox{...}, as in MATH.

    Braces inside are matched, except escaped ones. Of `\boxed 5`, without braces, the text up to the next $ is taken.
    None if there is no box, or the last one is not closed.
    """
    starts = [match.end() for match in re.finditer(r"\\(?:boxed|fbox)(?![A-Za-z])", text)]
    if not starts:
        return None
    contents = text[starts[-1] :].lstrip()
    if not contents.startswith("{"):
        return contents.partition("$")[0].strip() or None
    depth = 0
    for match in re.finditer(r"\\.|[{}]", contents, re.DOTALL):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth == 0:
            return contents[1 : match.start()].strip()
    return None


NAMED: dict[str, Callable[[str], str | None]] = {"boxed": boxed, "after_hashes": after_hashes}
"""Extractors that a configuration names by one word."""

REGEX = "regex:"


def check_extract(name: str) -> str:
    """Check the name of an extractor without importing code.

    Raises:
        ValueError: The name is unknown, or its regular expression is not valid.
    """
    if name.startswith(REGEX):
        try:
            groups = re.compile(name.removeprefix(REGEX)).groups
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"not a regular expression: {error}") from None
        if groups > 1:
            raise ValueError(f"it has {groups} groups; one marks the answer, so write the others as (?:...)")
    elif name not in NAMED and not plugins.is_code(name):
        raise ValueError(f"{did_you_mean(name, NAMED)}, or regex:PATTERN, or module:function of your own")
    return name


def make_extractor(name: str, *, code_allowed: bool) -> Extractor:
    """Build the extractor that a configuration names.

    Args:
        name: boxed, after_hashes, regex:PATTERN or module:function.
        code_allowed: Whether a module:function may be imported.

    Returns:
        The extractor. Those of the package read text, or a number as its JSON text, and map other values to None; a
        function of the user's gets the value as it is in the file.

    Raises:
        UserError: The function cannot be imported or called, or code is not allowed.
    """
    if name.startswith(REGEX):
        pattern = re.compile(name.removeprefix(REGEX))

        def search(text: str) -> str | None:
            match = pattern.search(text)
            return match[pattern.groups] if match else None

        return _on_text(search)
    if name in NAMED:
        return _on_text(NAMED[name])
    if not code_allowed:
        raise plugins.refuse_code("task.extract", name)
    function = plugins.load(name, "task.extract")
    if not callable(function):
        raise UserError(f"task.extract={name!r}: a function is needed, not {function!r:.80}")
    return function


def number_as_text(value: object) -> object:
    """The JSON text of a number; every other value unchanged."""
    return json.dumps(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _on_text(extract: Callable[[str], str | None]) -> Extractor:
    def extract_from_text(value: object) -> str | None:
        text = number_as_text(value)
        return extract(text) if isinstance(text, str) else None

    return extract_from_text
