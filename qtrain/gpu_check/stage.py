"""What a stage is, and where and at which size it runs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from qtrain.config import Config
from qtrain.studies.shipped import shipped_config

Device = Literal["cuda", "cpu"]
Size = Literal["full", "tiny"]


@dataclass(frozen=True)
class Place:
    """Where a check runs.

    Attributes:
        out: Its folder.
        device: The device of every model.
        size: full is what the results are about; tiny runs the same code in seconds, on models that learn nothing.
    """

    out: Path
    device: Device
    size: Size

    def config(self, name: str, full: dict[str, Any], tiny: dict[str, Any]) -> Config:
        """A shipped configuration on this device, with what a stage changes, and what the tiny size changes besides."""
        values = {"train.device": self.device} | full | (tiny if self.size == "tiny" else {})
        return shipped_config(name).with_values(values, where=f"{name}.toml")


class Stage(NamedTuple):
    """A part of the check with a result of its own.

    Attributes:
        title: Its heading.
        about: What it does, a paragraph.
        run: Runs it, or what is missing of it. Returns plain JSON values.
        show: The result as Markdown lines.
    """

    title: str
    about: str
    run: Callable[[Place], dict[str, Any]]
    show: Callable[[dict[str, Any]], list[str]]
