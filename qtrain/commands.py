"""Implement the commands of `qtrain`: read the input, check all of it, then run."""

import json
import math
import re
import time
from pathlib import Path
from typing import Any

import torch
from rich.box import SIMPLE_HEAD
from rich.table import Table

from qtheory.command.console import TextConsole
from qtheory.command.files import check_path
from qtrain.callbacks import Callback, StepFunction, own_callbacks
from qtrain.comparison import compare, folder_name, row
from qtrain.config import Config, PretrainedConfig, check_estimator, read_config
from qtrain.errors import UserError
from qtrain.files import writing
from qtrain.jobs.placement import on_one_thread
from qtrain.load_run import CheckpointName, check_base, evaluate_run, export_policy, finished_config, weights_folder
from qtrain.measure_table import measure_table
from qtrain.measurement import measure, with_counts
from qtrain.policy.device import find_device
from qtrain.prepare import get_base, prepare, row_limits
from qtrain.progress import ProgressDisplay, ProgressUpdate, console
from qtrain.rollout import check_engine
from qtrain.runs.folder import COMPARISON, check_free, read_result, write_json
from qtrain.runs.sinks import check_sinks
from qtrain.tasks.data_sets import data_set
from qtrain.tasks.inspection import check_sources, finding_lines, printable
from qtrain.tasks.qa import record_sources
from qtrain.tasks.qa_config import QAConfig
from qtrain.tasks.splits import Half
from qtrain.trainer import train

out_console = TextConsole()


def pretrain_command(path: Path, overrides: tuple[str, ...]) -> None:
    """See `qtrain.cli.pretrain`."""
    config, task, _ = prepare(read_config(path, overrides))
    with ProgressDisplay(config.name, total=1) as display:
        base = get_base(
            config,
            task,
            progress=lambda step, steps, loss: display.show(ProgressUpdate("base", step, steps, f"loss {loss:.3f}")),
        )
    for key, value in {"folder": str(base.folder), **base.about}.items():
        if key != "made_from":
            out_console.print(f"{key:<20} {value}", highlight=False, soft_wrap=True)


def train_command(
    path: Path,
    overrides: tuple[str, ...],
    out: Path | None,
    *,
    resume: bool,
    allow_changes: bool = False,
    allow_code: bool = False,
) -> int:
    """See `qtrain.cli.train`. Returns the exit status: 1 if training diverged."""
    config = read_config(path, overrides, allow_code=allow_code)
    check_engine(config.rollout)
    find_device(config.train.device)
    if on_one_thread(config):
        torch.set_num_threads(1)
    folder = out or Path("runs") / f"{config.name}-{folder_name(config)}"
    check_free(folder, config, resume=resume)
    check_sinks(config)
    own_callbacks(config)
    config, task, notes = prepare(config)
    for line in notes:
        tell(line)
    last_time = time.perf_counter()
    with ProgressDisplay(config.name, total=1) as display:

        def show_pretraining(step: int, steps: int, loss: float) -> None:
            display.show(ProgressUpdate("base", step, steps, f"loss {loss:.3f}"))

        def show_training(step: int, metrics: dict[str, float]) -> None:
            nonlocal last_time
            now = time.perf_counter()
            rate, last_time = metrics["tokens"] / (now - last_time), now
            log_p = metrics.get("mean_log_p", math.nan)
            note = f"p@1 {metrics['p_at_1']:.2f}, log P {log_p:.2f}, {rate:.0f} tok/s"
            if step == 1:
                console.print(
                    f"engine {config.rollout.engine}: log p of a token {metrics['mismatch_mean']:.1e} nats from the "
                    f"trainer's in the mean, {metrics['mismatch_largest']:.1e} at most",
                    highlight=False,
                    soft_wrap=True,
                )
            display.show(ProgressUpdate("train", step, config.train.steps, note))

        base = get_base(config, task, progress=show_pretraining)
        callbacks = (StepFunction(show_training), _MessagePrinter())
        result = train(config, task, base, folder, callbacks=callbacks, resume=resume, allow_changes=allow_changes)
        display.run_done()
    print_results([row(result)], title=f"{config.name}: {folder}")
    if result["diverged_step"] is None:
        return 0
    out_console.print(f"diverged at step {result['diverged_step']}: lower optimizer.lr={config.optimizer.lr:g}")
    out_console.print(result["diagnosis"], markup=False, highlight=False, soft_wrap=True)
    return 1


def check_data_command(path: Path, overrides: tuple[str, ...], *, as_json: bool) -> None:
    """See `qtrain.cli.check`: check the records of a configuration, with its model's tokenizer and budgets."""
    config = read_config(path, overrides)
    if not isinstance(config.task, QAConfig):
        raise UserError(f"{path}: task {config.task.name!r} makes its own examples; there are no records to check")
    sources, think = record_sources(config.task, config.data), config.rollout.delimiters
    findings, limits = check_sources(config.task, sources, row_limits(config), think)
    budgets = {"rationale_budget": limits.rationale_budget, "answer_budget": limits.answer_budget}
    if as_json:
        tables = {name: of_source.as_table() for name, of_source in findings.items()}
        table = {"config": str(path), "settings": config.task.model_dump(mode="json"), **budgets, "sources": tables}
        out_console.out(json.dumps(table), highlight=False)
        return
    room = limits.prompt_room(limits.answer_budget)
    fits = "" if room is None else f"; the model's positions leave {room} tokens for a prompt"
    chosen = ", ".join(f"rollout.{name}={value}" for name, value in budgets.items())
    out_console.print(f"lengths in tokens of {config.task.tokenizer or 'bytes'}; {chosen}{fits}", soft_wrap=True)
    for name, of_source in findings.items():
        out_console.print(printable(f"\n{data_set(config.task.name).title}: {name}"), soft_wrap=True)
        for line in finding_lines(of_source, config.task):
            out_console.print(printable(line), soft_wrap=True)
        if of_source.stats.unreachable:
            out_console.print(f"{'answers too long':<16} {of_source.stats.unreachable}   (see rollout.answer_budget)")


def measure_command(
    path: Path,
    overrides: tuple[str, ...],
    prompts: int | None,
    samples: int | None,
    json_path: Path | None,
    *,
    training: bool,
) -> None:
    """See `qtrain.cli.measure`."""
    config = with_counts(read_config(path, overrides), prompts, samples)
    check_engine(config.rollout)
    find_device(config.train.device)
    if json_path is not None:
        try:
            check_path("--json", json_path)
        except ValueError as error:
            raise UserError(str(error)) from None
    if on_one_thread(config):
        torch.set_num_threads(1)
    prepared = prepare(config)
    with ProgressDisplay(config.name, total=1) as display:
        base = get_base(
            prepared.config,
            prepared.task,
            progress=lambda step, steps, loss: display.show(ProgressUpdate("base", step, steps, f"loss {loss:.3f}")),
        )
        result = measure(
            prepared,
            base,
            training=training,
            progress=lambda stage, step, steps: display.show(ProgressUpdate("measure", step, steps, stage)),
        )
        display.run_done()
    out_console.print(measure_table(result))
    for line in [*result["notes"], "", "Advice (docs/choosing.md):", *(f"- {line}" for line in result["advice"])]:
        out_console.print(line, soft_wrap=True)
    if json_path is not None:
        with writing(json_path):
            write_json(json_path, result)


def evaluate_command(
    run: Path,
    prompts: int | None,
    samples: int | None,
    seed: int,
    rewards: list[str] | None,
    checkpoint: CheckpointName,
    half: Half | None,
    data: Path | None,
    base: str | None,
    *,
    allow_changes: bool,
    allow_code: bool,
) -> None:
    """See `qtrain.cli.evaluate`."""
    config = finished_config(run, allow_code=allow_code)
    if half is not None and not isinstance(config.task, QAConfig):
        raise UserError(f"--half {half}: task {config.task.name!r} has no records to halve; leave it out")
    changes = {
        "eval.prompts": prompts,
        "eval.samples": samples,
        "task.held_out_half": half,
        "data": None if data is None else str(data),
    }
    config = with_base(config, base).with_values({key: value for key, value in changes.items() if value is not None})
    evaluation = evaluate_run(run, checkpoint, config, seed=seed, rewards=rewards, allow_changes=allow_changes)
    for name, value in evaluation.scores.items():
        out_console.print(f"{name:<16} {value:.6g}", highlight=False)


def export_command(
    run: Path,
    out: Path,
    checkpoint: CheckpointName,
    base: str | None,
    *,
    allow_changes: bool,
    force: bool,
    allow_code: bool,
) -> None:
    """See `qtrain.cli.export`."""
    config = with_base(finished_config(run, allow_code=allow_code), base)
    diverged = read_result(run)["diverged_step"]
    if diverged is not None and not force:
        raise UserError(f"{run}: diverged at step {diverged}; its weights are of no use (--force exports them)")
    check_base(run, config, allow_changes=allow_changes)
    export_policy(run, config, weights_folder(run, checkpoint), out, force=force)
    out_console.print(f"{out}", highlight=False, soft_wrap=True)


def with_base(config: Config, base: str | None) -> Config:
    """A run's configuration with another path for its base model.

    Raises:
        UserError: The run has no pretrained base.
    """
    if base is None:
        return config
    if not isinstance(config.model, PretrainedConfig):
        raise UserError(f"--base {base}: the run's model is not pretrained; leave it out")
    tokenizer = getattr(config.task, "tokenizer", None)
    same = {"task.tokenizer": base} if str(tokenizer) == config.model.pretrained else {}
    return config.with_values({"model.pretrained": base, **same})


class _MessagePrinter(Callback):
    """Print the messages of a run."""

    def on_message(self, line: str) -> None:
        tell(line)


def tell(line: str) -> None:
    """Print a line on standard error, without markup."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def compare_command(
    path: Path, overrides: tuple[str, ...], estimators: list[str], out: Path, seeds: int, jobs: int | None
) -> None:
    """See `qtrain.cli.compare`."""
    config = read_config(path, overrides)
    check_engine(config.rollout)
    check_sinks(config)
    choices = [check_estimator(text) for text in estimators]
    if len(set(choices)) < len(choices):
        raise UserError(f"--estimator {' '.join(estimators)}: one is named twice; name each once")
    for line in prepare(config).notes:
        tell(line)
    rows = compare(config, choices, range(seeds), out, jobs=jobs)
    print_results(rows, title=f"{config.name}: {out / COMPARISON}")


_HEADINGS = {"escape_step": "escape", "mean_log_p": "log P", "seconds": "s"}
_HIDDEN = re.compile(r"q|steps|(p_at_(?!1_)\d+|maj_at_\d+|mean_log_p)_\w+")
"""Columns left out for want of room; of the scores of a group only p@1 is shown."""


def print_results(rows: list[dict[str, Any]], title: str) -> None:
    """Print the rows of a comparison as a table that fits a terminal of 80 columns."""
    # The title is printed apart, because a table would wrap a long path in it.
    out_console.print(title, style="italic", soft_wrap=True)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    columns = [name for name in rows[0] if not _HIDDEN.fullmatch(name)]
    for name in columns:
        heading = _HEADINGS.get(name, name.replace("_at_", "@").replace("_", " "))
        table.add_column(heading, justify="left" if name == "estimator" else "right", no_wrap=name == "estimator")
    for result in rows:
        table.add_row(*(_cell(name, result[name]) for name in columns))
    out_console.print(table)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        formats = {"p0": ".1e", "mean_log_p": ".2f", "seconds": ".0f"}
        return f"{value:{formats.get(name, '.3f')}}"
    return str(value)
