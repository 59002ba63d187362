"""What differs between the configurations of a page's sections, and inside them."""

import json
from typing import Any, NamedTuple

from qtrain.report.records import Section
from qtrain.runs.folder import flat


class Difference(NamedTuple):
    """A key, and the values that it has in each section's runs; no value where the key is missing."""

    key: str
    values: list[list[str]]


def differences(sections: list[Section]) -> list[Difference]:
    """The keys that have more than one value on the page, in alphabetical order."""
    tables = [[flat(run.config) for run in section.runs] for section in sections]
    keys = sorted({key for tables_of_one in tables for table in tables_of_one for key in table})
    found = [Difference(key, [_values(key, of_one) for of_one in tables]) for key in keys]
    return [one for one in found if len({value for values in one.values for value in values}) > 1 or _missing(one)]


def _values(key: str, tables: list[dict[str, Any]]) -> list[str]:
    present = [table[key] for table in tables if key in table]
    return list(dict.fromkeys(one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in present))


def _missing(difference: Difference) -> bool:
    return any(not values for values in difference.values)
