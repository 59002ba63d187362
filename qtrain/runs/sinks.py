"""Sinks: where metrics go besides the run folder, which always has them: TensorBoard, trackio, Weights & Biases."""

import importlib
import inspect
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

MODULES = {"tensorboard": "torch.utils.tensorboard"}
"""What to import, where it is not the package itself."""


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
        module: Any = importlib.import_module(MODULES["tensorboard"])
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
        known = path.read_text(encoding="utf-8") if step and path.exists() else secrets.token_hex(8)
        super().__init__("wandb", config, folder, step, id=known)
        path.write_text(known, encoding="utf-8")


SINKS: dict[str, Callable[[Config, Path, int], Sink]] = {
    "trackio": Trackio,
    "wandb": Wandb,
    "tensorboard": TensorBoard,
}
"""In the order in which they are started: those that may be refused before those that write into the run folder."""


def check_sinks(config: Config) -> None:
    """Refuse a sink whose library is missing, cannot be imported or wants a login, before any work is done.

    Raises:
        UserError: It is.
    """
    for name in config.sinks:
        package = PACKAGES[name]
        if find_spec(package) is None:
            raise UserError(f"sinks={name!r}: {package} is not installed: pip install {package}, or leave it out")
        try:
            library = importlib.import_module(MODULES.get(name, package))
        except Exception as error:  # whatever the package's own imports raise
            raise UserError(f"sinks={name!r}: cannot be imported: {_reason(error)}; leave it out") from None
        if name == "wandb":
            _check_login(library)


def _check_login(wandb: Any) -> None:
    """Log in to Weights & Biases as far as that is possible without asking at the terminal.

    Raises:
        UserError: It is not, or the server does not accept it.
    """
    if wandb.setup().settings.mode not in {"online", "run", "shared", None}:
        return
    # Older releases ask at the terminal, and refuse where there is none.
    silent = {"prompt": False} if "prompt" in inspect.signature(wandb.login).parameters else {}
    way_out = "set WANDB_MODE=offline, or leave it out"
    try:
        logged_in = wandb.login(**silent)
    except Exception as error:  # the library's own, or its server's
        raise UserError(f"sinks='wandb': no login: {_reason(error)}; {way_out}") from None
    if not logged_in:
        raise UserError(f"sinks='wandb': no login: run `wandb login` or set WANDB_API_KEY, {way_out}")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


class Sinks:
    """All sinks of a run.

    Args:
        config: Names them.
        folder: The run folder.
        step: The step that the run goes on from, 0 at its start.

    Raises:
        UserError: One cannot be started.
    """

    def __init__(self, config: Config, folder: Path, step: int) -> None:
        check_sinks(config)
        self._sinks: list[Sink] = []
        for name in sorted(config.sinks, key=list(SINKS).index):
            try:
                self._sinks.append(SINKS[name](config, folder, step))
            except Exception as error:  # whatever the library raises
                self.close()
                raise UserError(f"sinks={name!r}: cannot be started: {_reason(error)}; leave it out") from None

    def log(self, step: int, values: Mapping[str, float], prefix: str) -> None:
        """Hand a step's finite numbers on, as `prefix/name`."""
        finite = {f"{prefix}/{name}": value for name, value in values.items() if math.isfinite(value)}
        for sink in self._sinks:
            sink.log(step, finite)

    def close(self) -> None:
        """Hand on what is still waiting."""
        for sink in self._sinks:
            sink.close()
