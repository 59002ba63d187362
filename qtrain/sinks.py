"""Sinks: where metrics go besides the run folder, which always has them: TensorBoard, trackio, Weights & Biases."""

import importlib
import math
import secrets
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from qtrain.config import Config
from qtrain.errors import UserError

PACKAGES = {"tensorboard": "tensorboard", "trackio": "trackio", "wandb": "wandb"}
"""The package to install for each."""


class Sink(Protocol):
    """Takes numbers by name at a step."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Take a step's numbers."""
        ...

    def close(self) -> None:
        """Hand on what is still waiting."""
        ...


class TensorBoard:
    """Event files in the run folder's `tensorboard`; what a killed run wrote past its checkpoint is purged."""

    def __init__(self, config: Config, folder: Path, step: int) -> None:
        del config
        module: Any = importlib.import_module("torch.utils.tensorboard")
        self._writer = module.SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Take a step's numbers."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Hand on what is still waiting."""
        self._writer.close()


class _Service:
    """trackio and wandb have one interface. The project is the configuration's name, the run the folder's."""

    def __init__(self, module: str, config: Config, folder: Path, step: int, **more: str) -> None:
        library: Any = importlib.import_module(module)
        resume = "allow" if step else "never"
        self._run = library.init(project=config.name, name=folder.name, config=config.as_table(), resume=resume, **more)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Take a step's numbers."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """Hand on what is still waiting."""
        self._run.finish()


class Trackio(_Service):
    """trackio, on this machine."""

    def __init__(self, config: Config, folder: Path, step: int) -> None:
        super().__init__("trackio", config, folder, step)


class Wandb(_Service):
    """Weights & Biases, which knows a run again by an id that the run folder keeps."""

    def __init__(self, config: Config, folder: Path, step: int) -> None:
        path = folder / "wandb_id"
        if not step or not path.exists():
            path.write_text(secrets.token_hex(8), encoding="utf-8")
        super().__init__("wandb", config, folder, step, id=path.read_text(encoding="utf-8"))


SINKS: dict[str, Callable[[Config, Path, int], Sink]] = {
    "tensorboard": TensorBoard,
    "trackio": Trackio,
    "wandb": Wandb,
}


def check_sinks(config: Config) -> None:
    """Refuse a sink whose library is missing, before any work is done.

    Raises:
        UserError: It is.
    """
    for name in config.sinks:
        package = PACKAGES[name]
        if find_spec(package) is None:
            raise UserError(f"sinks={name!r}: {package} is not installed: pip install {package}, or leave it out")


class Sinks:
    """All sinks of a run.

    Args:
        config: Names them.
        folder: The run folder.
        step: The step that the run goes on from, 0 at its start.
    """

    def __init__(self, config: Config, folder: Path, step: int) -> None:
        check_sinks(config)
        self._sinks = [SINKS[name](config, folder, step) for name in config.sinks]

    def log(self, step: int, values: Mapping[str, float], prefix: str) -> None:
        """Hand a step's finite numbers on, as `prefix/name`."""
        finite = {f"{prefix}/{name}": value for name, value in values.items() if math.isfinite(value)}
        for sink in self._sinks:
            sink.log(step, finite)

    def close(self) -> None:
        """Hand on what is still waiting."""
        for sink in self._sinks:
            sink.close()
