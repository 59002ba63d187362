"""What the commands of `qtrain` do: read, check everything, then run."""

import time
from pathlib import Path
from typing import Any

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from qtrain.compare import compare, folder_name, row
from qtrain.config import check_estimator, read_config
from qtrain.engines import check_engine, make_engine
from qtrain.errors import UserError
from qtrain.evaluate import evaluate
from qtrain.model import new_model, token_ids
from qtrain.pretrain import get_base, load_weights
from qtrain.progress import Board, Report
from qtrain.run_folder import COMPARISON, CONFIG, check_free, read_result
from qtrain.sinks import check_sinks
from qtrain.studies.study import run_study
from qtrain.tasks import make_task
from qtrain.train import train

out_console = Console()

SINGLE_THREAD_WIDTH = 256
"""Models up to this width run on one thread: more threads only wait for each other."""


def pretrain_command(path: Path, overrides: tuple[str, ...]) -> None:
    """See `qtrain.cli.pretrain`."""
    config = read_config(path, overrides)
    task = make_task(config.task, config.data)
    with Board(config.name, total=1) as board:
        base = get_base(
            config,
            task,
            progress=lambda step, steps, loss: board.show(Report("base", step, steps, f"loss {loss:.3f}")),
        )
    for key, value in {"folder": str(base.folder), **base.about}.items():
        if key != "made_from":
            out_console.print(f"{key:<20} {value}", highlight=False, soft_wrap=True)


def train_command(path: Path, overrides: tuple[str, ...], out: Path | None, *, resume: bool) -> int:
    """See `qtrain.cli.train`. Returns the exit status: 1 where training diverged."""
    config = read_config(path, overrides)
    check_engine(config.rollout)
    torch.set_num_threads(1 if config.model.hidden_size <= SINGLE_THREAD_WIDTH else torch.get_num_threads())
    folder = out or Path("runs") / f"{config.name}-{folder_name(config)}"
    check_free(folder, config, resume=resume)
    check_sinks(config)
    task = make_task(config.task, config.data)
    last = time.perf_counter()
    with Board(config.name, total=1) as board:

        def pretraining(step: int, steps: int, loss: float) -> None:
            board.show(Report("base", step, steps, f"loss {loss:.3f}"))

        def training(step: int, metrics: dict[str, float], _: object) -> None:
            nonlocal last
            now = time.perf_counter()
            rate, last = metrics["tokens"] / (now - last), now
            note = f"log P {metrics['mean_log_p']:.2f}, {rate:.0f} tok/s"
            board.show(Report("train", step, config.train.steps, note))

        base = get_base(config, task, progress=pretraining)
        result = train(config, task, base, folder, watch=training, resume=resume)
        board.cell_done()
    out_console.print(results_table([row(result)], title=f"{config.name}: {folder}"))
    if result["diverged_step"] is None:
        return 0
    out_console.print(f"diverged at step {result['diverged_step']}: lower optimizer.lr={config.optimizer.lr:g}")
    out_console.print(result["diagnosis"], markup=False, highlight=False, soft_wrap=True)
    return 1


def evaluate_command(run: Path, prompts: int | None, samples: int | None, seed: int) -> None:
    """See `qtrain.cli.evaluate`."""
    read_result(run)
    changes = {"eval.prompts": prompts, "eval.samples": samples}
    config = read_config(run / CONFIG).with_values({k: v for k, v in changes.items() if v is not None})
    task = make_task(config.task, config.data)
    model = new_model(config.model, task.tokenizer, seed=0)
    load_weights(model, run)
    engine = make_engine(config.rollout, model, token_ids(task.tokenizer))
    for name, value in evaluate(engine, task, config, seed=seed).scores.items():
        out_console.print(f"{name:<16} {value:.6g}", highlight=False)


def compare_command(
    path: Path, overrides: tuple[str, ...], estimators: list[str], out: Path, seeds: int, jobs: int | None
) -> None:
    """See `qtrain.cli.compare`."""
    config = read_config(path, overrides)
    check_engine(config.rollout)
    choices = [check_estimator(text) for text in estimators]
    _check_counts(seeds, jobs)
    if len(set(choices)) < len(choices):
        raise UserError(f"--estimator {' '.join(estimators)}: one is named twice; name each once")
    rows = compare(config, choices, range(seeds), out, jobs=jobs)
    out_console.print(results_table(rows, title=f"{config.name}: {out / COMPARISON}"))


def study_command(name: str, seeds: int, runs: Path | None, output: Path | None, jobs: int | None) -> None:
    """See `qtrain.cli.study`."""
    _check_counts(seeds, jobs)
    folder, output = runs or Path("runs") / "studies" / name, output or Path("figures") / "data" / f"{name}.json"
    rows = run_study(name, range(seeds), folder, output, jobs=jobs)["rows"]
    out_console.print(results_table([row(one) for one in rows], title=f"{name}: {output}"))


def _check_counts(seeds: int, jobs: int | None) -> None:
    for option, value in {"--seeds": seeds, "--jobs": 1 if jobs is None else jobs}.items():
        if value < 1:
            raise UserError(f"{option} {value}: at least 1 is needed")


_HEADINGS = {"escape_step": "escape", "mean_log_p": "log P", "mean_log_p_easy": "log P easy", "seconds": "s"}


def results_table(rows: list[dict[str, Any]], title: str) -> Table:
    """The rows of a comparison as a table that fits a terminal of 80 columns."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    hidden = ("q", "steps", "p_at_16_easy", "maj_at_16_easy", "mean_log_p_easy")
    columns = [name for name in rows[0] if name not in hidden]
    for name in columns:
        heading = _HEADINGS.get(name, name.replace("_at_", "@").replace("_", " "))
        table.add_column(heading, justify="left" if name == "estimator" else "right", no_wrap=name == "estimator")
    for one in rows:
        table.add_row(*(_cell(name, one[name]) for name in columns))
    return table


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        formats = {"p0": ".1e", "mean_log_p": ".2f", "mean_log_p_easy": ".2f", "seconds": ".0f"}
        return f"{value:{formats.get(name, '.3f')}}"
    return str(value)
