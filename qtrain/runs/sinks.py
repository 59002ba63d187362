"""Send metrics to TensorBoard, trackio or Weights & Biases, in addition to the run folder's logs."""

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
"""The package to install for each sink."""

MODULES = {"tensorboard": "torch.utils.tensorboard"}
"""The module to import, if it is not the package itself."""


class Sink(Protocol):
    """A receiver of metrics."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Record the metrics of a step."""
        ...

    def close(self) -> None:
        """Flush pending metrics."""
        ...


class TensorBoard:
    """Event files in the run folder's `tensorboard`. Resuming purges events after the checkpoint."""

    def __init__(self, config: Config, folder: Path, step: int) -> None:
        del config
        module: Any = importlib.import_module(MODULES["tensorboard"])
        self._writer = module.SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Record the metrics of a step."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush pending metrics."""
        self._writer.close()


class _Service:
    """The common interface of trackio and wandb: a project per configuration name, a run per run folder."""

    def __init__(self, module: str, config: Config, folder: Path, step: int, **options: str) -> None:
        library: Any = importlib.import_module(module)
        resume = "allow" if step else "never"
        self._run = library.init(
            project=config.name, name=folder.name, config=config.as_table(), resume=resume, **options
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Record the metrics of a step."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """Flush pending metrics."""
        self._run.finish()


class Trackio(_Service):
    """trackio, which stores metrics on this machine."""

    def __init__(self, config: Config, folder: Path, step: int) -> None:
        super().__init__("trackio", config, folder, step)


class Wandb(_Service):
    """Weights & Biases; a file in the run folder holds the id with which a resumed run continues."""

    def __init__(self, config: Config, folder: Path, step: int) -> None:
        path = folder / "wandb_id"
        run_id = path.read_text(encoding="utf-8") if step and path.exists() else secrets.token_hex(8)
        super().__init__("wandb", config, folder, step, id=run_id)
        path.write_text(run_id, encoding="utf-8")


SINKS: dict[str, Callable[[Config, Path, int], Sink]] = {
    "trackio": Trackio,
    "wandb": Wandb,
    "tensorboard": TensorBoard,
}
"""In the order of starting: sinks that may fail come before those that write into the run folder."""


def check_sinks(config: Config) -> None:
    """Check that every sink can be used, before any work is done.

    Raises:
        UserError: A sink's library is missing, cannot be imported, or needs a login.
    """
    for name in config.sinks:
        package = PACKAGES[name]
        if find_spec(package) is None:
            raise UserError(f"sinks={name!r}: {package} is not installed: pip install {package}, or leave it out")
        try:
            library = importlib.import_module(MODULES.get(name, package))
        except Exception as error:  # the package's imports may raise anything
            raise UserError(f"sinks={name!r}: cannot be imported: {_reason(error)}; leave it out") from None
        if name == "wandb":
            _check_login(library)


def _check_login(wandb: Any) -> None:
    """Log in to Weights & Biases without a prompt at the terminal.

    Raises:
        UserError: No login is stored, or the server refuses it.
    """
    if wandb.setup().settings.mode not in {"online", "run", "shared", None}:
        return
    # Older releases lack `prompt`: they ask at the terminal, and fail without one.
    silent = {"prompt": False} if "prompt" in inspect.signature(wandb.login).parameters else {}
    remedy = "set WANDB_MODE=offline, or leave it out"
    try:
        logged_in = wandb.login(**silent)
    except Exception as error:  # exceptions of the library or its server
        raise UserError(f"sinks='wandb': no login: {_reason(error)}; {remedy}") from None
    if not logged_in:
        raise UserError(f"sinks='wandb': no login: run `wandb login` or set WANDB_API_KEY, {remedy}")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


class Sinks:
    """All sinks of a run.

    Args:
        config: The configuration, which names the sinks.
        folder: The run folder.
        step: The step of the checkpoint from which the run resumes, 0 at its start.

    Raises:
        UserError: A sink cannot be started.
    """

    def __init__(self, config: Config, folder: Path, step: int) -> None:
        check_sinks(config)
        self._sinks: list[Sink] = []
        for name in sorted(config.sinks, key=list(SINKS).index):
            try:
                self._sinks.append(SINKS[name](config, folder, step))
            except Exception as error:  # the library may raise anything
                self.close()
                raise UserError(f"sinks={name!r}: cannot be started: {_reason(error)}; leave it out") from None

    def log(self, step: int, values: Mapping[str, float], prefix: str) -> None:
        """Record the finite metrics of a step, as `prefix/name`."""
        finite = {f"{prefix}/{name}": value for name, value in values.items() if math.isfinite(value)}
        for sink in self._sinks:
            sink.log(step, finite)

    def close(self) -> None:
        """Flush pending metrics."""
        for sink in self._sinks:
            sink.close()
