"""Run trainings, one after another in this process or in parallel workers, and skip finished runs."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtrain.callbacks import Callback, StepFunction, own_callbacks
from qtrain.config import Config, ModelConfig, config_hash
from qtrain.jobs.placement import places
from qtrain.jobs.workers import Host, Job, in_this_process, in_workers
from qtrain.policy.device import find_device
from qtrain.prepare import get_base, pretraining_key
from qtrain.progress import ProgressDisplay, ProgressUpdate, console
from qtrain.rollout import check_engine
from qtrain.runs.folder import RESULT, check_free, read_origin, read_result, settings_of
from qtrain.runs.provenance import BASE, check_unchanged, fingerprints
from qtrain.runs.sinks import check_sinks
from qtrain.tasks.qa_config import QAConfig
from qtrain.trainer import train


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training run. A subclass may do more than train.

    Attributes:
        label: Its name in the display and in errors.
        config: Its configuration.
        folder: Its run folder.
        callbacks: Called in the process that trains.
    """

    label: str
    config: Config
    folder: Path
    callbacks: tuple[Callback, ...] = ()

    def finished(self) -> dict[str, Any] | None:
        """The result, if the run is finished; None otherwise.

        Raises:
            UserError: The folder holds something other than this run.
        """
        check_free(self.folder, self.config, resume=True)
        if not (self.folder / RESULT).exists() or settings_of(self.folder)["train.steps"] < self.config.train.steps:
            return None
        return read_result(self.folder)

    def go(self, host: Host) -> dict[str, Any]:
        """Train to the end, from the last checkpoint if there is one.

        Args:
            host: Shared state of the jobs in this process.

        Returns:
            The result.
        """
        steps = self.config.train.steps

        def show(step: int, metrics: dict[str, float]) -> None:
            note = f"p@1 {metrics['p_at_1']:.2f}, log P {metrics.get('mean_log_p', math.nan):.2f}"
            host.show(ProgressUpdate(self.label, step, steps, note))

        config, task, _ = host.prepared(self.config)
        callbacks = (StepFunction(show), *self.callbacks)
        return train(config, task, get_base(config, task), self.folder, callbacks=callbacks, resume=True)


@dataclass(frozen=True)
class _Bases:
    """The base models from one pre-training: the pre-trained model, and a copy for each requested p0."""

    label: str
    configs: Sequence[Config]

    def go(self, host: Host) -> None:
        def progress(step: int, steps: int, loss: float) -> None:
            host.show(ProgressUpdate(self.label, step, steps, f"loss {loss:.3f}"))

        for config in self.configs:
            prepared = host.prepared(config)
            get_base(prepared.config, prepared.task, progress=progress)


def run_all(
    runs: Sequence[Run],
    *,
    jobs: int | None = None,
    title: str = "runs",
    done: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:
    """Train every unfinished run, after the pre-training that it needs.

    With one job, everything happens in this process. With several, each job is a worker process, with its own GPU if
    the runs compute on GPUs (see `qtrain.jobs.placement.places`).

    Args:
        runs: The runs; no two have the same folder.
        jobs: Number of simultaneous runs. None means one per GPU; without GPUs one per core, or only one if a model is
            wide.
        title: Title of the progress display.
        done: Called after each run.

    Returns:
        The results in the order of the runs.

    Raises:
        UserError: A folder holds something else, or a run fails; the others are stopped.
        KeyboardInterrupt: The workers have ended; the same call continues the interrupted runs.
    """
    results = {run.folder: run.finished() for run in runs}
    left = [run for run in runs if results[run.folder] is None]
    for run in left:
        check_engine(run.config.rollout)
        find_device(run.config.train.device)
        check_sinks(run.config)
        own_callbacks(run.config)
    _check_records(left, [run.folder for run in runs if results[run.folder] is not None])
    if left and len(left) < len(runs):
        console.print(f"{title}: {len(runs) - len(left)} of {len(runs)} runs were finished before", highlight=False)
    display, schedule = ProgressDisplay(title, total=len(runs), finished=len(runs) - len(left)), _Schedule(left)

    def finished(job: Job, result: Any) -> None:
        schedule.finished(job)
        note = "ready"
        if isinstance(job, Run):
            results[job.folder], note = result, "done"
            done()
            display.run_done()
        display.show(ProgressUpdate(job.label, 1, 1, note, done=True))

    chosen_places = places([run.config for run in left], jobs)
    with display:
        if len(chosen_places) == 1:
            in_this_process(chosen_places[0], schedule.next, display.show, finished)
        else:
            in_workers(chosen_places, schedule.next, display.show, finished)
    return [result for run in runs if (result := results[run.folder]) is not None]


def _check_records(left: Sequence[Run], finished: Sequence[Path]) -> None:
    """Check that the records have not changed since the finished runs.

    Args:
        left: Unfinished runs.
        finished: Folders of the finished runs.

    Raises:
        UserError: The records have changed.
    """
    host, seen = Host(lambda _: None), list[Any]()
    for run in left:
        source = (run.config.task, run.config.data)
        if isinstance(run.config.task, QAConfig) and finished and source not in seen:
            seen.append(source)
            _, task, _ = host.prepared(run.config)
            data = task.dataset_report()
            now = fingerprints(data, task.tokenizer, base="")
            for folder in finished:
                data_before, before = read_origin(folder)
                before.pop(BASE, None)
                check_unchanged(folder, before, now, data_before, data)


class _Schedule:
    """Order the jobs: pre-training first, then each run as soon as its base model is ready."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = list(runs)
        self._bases = _bases(runs)
        self._to_pretrain = list(self._bases.values())

    def next(self) -> Job | None:
        """A job that can start; None if there is none, or if all remaining runs wait for their base models."""
        if self._to_pretrain:
            return self._to_pretrain.pop(0)
        ready = (run for run in self._runs if _base_of(run) not in self._bases)
        run = next(ready, None)
        if run is not None:
            self._runs.remove(run)
        return run

    def finished(self, job: Job) -> None:
        """Release the runs that waited for this job."""
        self._bases = {key: bases for key, bases in self._bases.items() if bases is not job}


def _bases(runs: Sequence[Run]) -> dict[str, _Bases]:
    """The pre-trainings that runs need; pretrained models need none."""
    configs: dict[str, list[Config]] = {}
    for run in runs:
        if isinstance(run.config.model, ModelConfig):
            configs.setdefault(_base_of(run), []).append(run.config)
    seeds = [shared[0].pretrain.seed for shared in configs.values()]
    labels = [
        f"base, seed {seed}" if seeds.count(seed) == 1 else f"base {number}, seed {seed}"
        for number, seed in enumerate(seeds, start=1)
    ]
    return {key: _Bases(label, shared) for label, (key, shared) in zip(labels, configs.items(), strict=True)}


def _base_of(run: Run) -> str:
    return config_hash(pretraining_key(run.config))
