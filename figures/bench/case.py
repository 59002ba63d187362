"""One thing to measure: a program, its settings, the Python that runs it, and with what it is compared."""

import hashlib
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from figures.bench.workload import Shape
from qtrain.errors import UserError

Result = dict[str, Any]
"""What a process wrote (see `figures.bench.process`), or {"failed": why}."""

PYTHONS = {"trl": Path(".venv-bench/bin/python"), "vllm": Path(".venv-vllm/bin/python")}
"""The peers' environments below the present folder; `make bench` makes them."""


@dataclass(frozen=True)
class Options:
    """What the command line asks for.

    Attributes:
        quick: Toy sizes, in a few minutes.
        shapes: Instead of the suite's own.
        vocabularies: Likewise.
        device: cpu or cuda.
        threads: Of every measured process.
    """

    quick: bool = False
    shapes: tuple[Shape, ...] = ()
    vocabularies: tuple[int, ...] = ()
    device: str = "cpu"
    threads: int = 2

    @property
    def whole(self) -> bool:
        """Whether this measures what the docs show."""
        return not (self.quick or self.shapes or self.vocabularies)


@dataclass(frozen=True)
class Case:
    """A measured process.

    Attributes:
        contest: Cases of one contest take turns: A B A B.
        name: Which of them it is.
        words: What follows `python`; the file to write comes last.
        settings: Handed over as JSON before that file; None for a command that takes none.
        peer: Whose environment it needs; None for this one.
        rounds: How often it is run, unless that takes too long.
    """

    contest: str
    name: str
    words: tuple[str, ...]
    settings: dict[str, Any] | None = field(default=None, hash=False)
    peer: str | None = None
    rounds: int = 2

    def command(self, result: Path) -> list[str]:
        """The process's command line."""
        settings = [] if self.settings is None else [json.dumps(self.settings)]
        return [str(python(self.peer)), *self.words, *settings, str(result)]

    def key(self, code: str) -> str:
        """What a kept result must share with this case."""
        parts = [self.contest, self.name, self.words, self.settings, str(python(self.peer)), code]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def python(peer: str | None) -> Path:
    """The interpreter of an environment; links are kept, as they are what makes it an environment."""
    return Path(sys.executable) if peer is None else Path.cwd() / PYTHONS[peer]


def program(name: str) -> tuple[str, ...]:
    """The words that run one of `figures.bench.programs`."""
    return ("-m", f"figures.bench.programs.{name}")


def missing(peer: str) -> str | None:
    """One line about a peer's environment that is not there."""
    if python(peer).exists():
        return None
    return f"{PYTHONS[peer]} is missing, and with it {peer}'s side of the comparison; `make bench` makes it"


def check_device(device: str) -> None:
    """Refuse a device that is not there.

    Raises:
        UserError: It is not.
    """
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch finds no GPU here; leave it out to measure on the CPU")
