"""A benchmark case: a program, its settings, the Python that runs it, and the cases it is compared with."""

import hashlib
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from figures.bench.workload import Shape
from qtrain.errors import UserError

Result = dict[str, Any]
"""The result that a process wrote (see `figures.bench.process`), or {"failed": reason}."""

PYTHONS = {"trl": Path(".venv-bench/bin/python"), "vllm": Path(".venv-vllm/bin/python")}
"""Interpreters of the other trainers' environments, relative to the working directory; `make bench` creates them."""


@dataclass(frozen=True)
class Options:
    """Options of the command line.

    Attributes:
        quick: Toy sizes, a few minutes in all.
        shapes: Shapes that replace the suite's own.
        vocabularies: Vocabulary sizes that replace the suite's own.
        device: cpu or cuda.
        threads: Threads of every measured process.
    """

    quick: bool = False
    shapes: tuple[Shape, ...] = ()
    vocabularies: tuple[int, ...] = ()
    device: str = "cpu"
    threads: int = 2

    @property
    def whole(self) -> bool:
        """Whether the options ask for the whole measurement, as the docs show it."""
        return not (self.quick or self.shapes or self.vocabularies)


@dataclass(frozen=True)
class Case:
    """A measured process.

    Attributes:
        contest: Name of the comparison; its cases take turns, A B A B.
        name: Name of the case within the contest.
        arguments: Arguments of `python`; settings and the result file are appended.
        settings: Passed as JSON before the result file; None for a command without settings.
        peer: Key in PYTHONS of the environment that runs it; None for the present one.
        rounds: Number of runs, fewer if they take too long.
    """

    contest: str
    name: str
    arguments: tuple[str, ...]
    settings: dict[str, Any] | None = field(default=None, hash=False)
    peer: str | None = None
    rounds: int = 2

    def command(self, result: Path) -> list[str]:
        """The process's command line."""
        settings = [] if self.settings is None else [json.dumps(self.settings)]
        return [str(python(self.peer)), *self.arguments, *settings, str(result)]

    def key(self, code: str) -> str:
        """Hash of everything that a stored result must share with this case to be reused."""
        parts = [self.contest, self.name, self.arguments, self.settings, str(python(self.peer)), code]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def python(peer: str | None) -> Path:
    """The interpreter of an environment. Symbolic links are not resolved: the link is what selects the environment."""
    return Path(sys.executable) if peer is None else Path.cwd() / PYTHONS[peer]


def program(name: str) -> tuple[str, ...]:
    """Arguments of `python` that run one of `figures.bench.programs`."""
    return ("-m", f"figures.bench.programs.{name}")


def missing(peer: str) -> str | None:
    """A line that says that a peer's environment is missing, None if it exists."""
    if python(peer).exists():
        return None
    return f"{PYTHONS[peer]} is missing, and with it {peer}'s side of the comparison; `make bench` makes it"


def check_device(device: str) -> None:
    """Refuse a device that does not exist.

    Raises:
        UserError: The device does not exist.
    """
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch finds no GPU here; leave it out to measure on the CPU")
