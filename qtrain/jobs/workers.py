"""Run jobs in worker processes, each with its own GPU and threads. No worker outlives its parent process."""

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

import torch

from qtrain.config import Config
from qtrain.errors import UserError
from qtrain.jobs.placement import VISIBLE, Place
from qtrain.prepare import PREPARED, Prepared, prepare
from qtrain.progress import ProgressUpdate, console

GRACE = 5.0
"""Seconds that an idle or stopped worker has to exit before it is killed."""

Show = Callable[[ProgressUpdate], None]
"""Receives progress updates of a job."""


class Host:
    """State shared by the jobs of one process.

    Args:
        show: Receives their progress updates.
    """

    def __init__(self, show: Show) -> None:
        self.show = show
        self._last: tuple[Any, Prepared] | None = None

    def prepared(self, config: Config) -> Prepared:
        """Prepare a configuration. The last task is reused, because consecutive runs often have the same records."""
        key = tuple(getattr(config, name) for name in PREPARED)
        if self._last is None or self._last[0] != key:
            self._last = (key, prepare(config))
        last = self._last[1]
        return last._replace(config=config.model_copy(update={n: getattr(last.config, n) for n in PREPARED}))


class Job(Protocol):
    """Work for one process. The job and its result are pickled to and from a worker."""

    @property
    def label(self) -> str:
        """Its name in the display and in errors."""
        ...

    def go(self, host: Host) -> Any:
        """Do the work."""
        ...


def perform(job: Job, host: Host) -> Any:
    """Do a job's work.

    Raises:
        UserError: Bad input, a file error or a lack of memory stopped it; the line starts with the job's label.
    """
    try:
        return job.go(host)
    except (UserError, OSError) as error:
        raise UserError(f"{job.label}: {error}") from None
    except torch.OutOfMemoryError:
        raise UserError(
            f"{job.label}: the GPU's memory is full; lower train.micro_batch_tokens or rollout.cache_gib"
        ) from None
    except Exception as error:
        error.add_note(f"This happened in {job.label}.")
        raise


def in_this_process(
    place: Place, next_job: Callable[[], Job | None], show: Show, finished: Callable[[Job, Any], None]
) -> None:
    """Do jobs one after another in this process; see `in_workers` for the arguments."""
    host, threads = Host(show), torch.get_num_threads()
    torch.set_num_threads(place.threads)
    try:
        while (job := next_job()) is not None:
            finished(job, perform(job, host))
    finally:
        torch.set_num_threads(threads)


def in_workers(
    places: Sequence[Place], next_job: Callable[[], Job | None], show: Show, finished: Callable[[Job, Any], None]
) -> None:
    """Do jobs in worker processes, one per place.

    After the first interrupt (Ctrl-C or SIGTERM to this process) or the first failure, each busy worker gets one
    SIGTERM, upon which it may finish its step and write a checkpoint. The next interrupt ends the workers at once. A
    terminal's Ctrl-C does not reach the workers directly, because each has its own session.

    Args:
        places: The places of the workers.
        next_job: Returns the next job that can start, None if there is none until another is finished.
        show: Receives the jobs' progress updates.
        finished: Called in this process with each finished job and its return value.

    Raises:
        UserError: A job failed (see `perform`), or its worker died.
        KeyboardInterrupt: There was an interrupt. All workers have ended.
    """
    workers: list[_Worker] = []
    with _counting_interrupts() as interrupts:
        try:
            workers.extend(_Worker(place) for place in places)
            failure = _run_jobs(workers, interrupts, next_job, show, finished)
        finally:
            for worker in workers:
                worker.stop()
            for worker in workers:
                worker.end()
    if failure is not None:
        raise failure
    if interrupts:
        raise KeyboardInterrupt


def _run_jobs(
    workers: Sequence["_Worker"],
    interrupts: Sequence[int],
    next_job: Callable[[], Job | None],
    show: Show,
    finished: Callable[[Job, Any], None],
) -> Exception | None:
    """Hand out jobs until none is left, or until all workers have stopped on request. Returns the first failure."""
    failure, stopping = None, False
    while True:
        if not stopping:
            for worker in workers:
                if worker.job is None and (job := next_job()) is not None:
                    worker.give(job)
        busy = [worker for worker in workers if worker.job is not None]
        if not busy or len(interrupts) + (failure is not None) > 1:
            return failure
        # The time limit lets the loop notice an interrupt.
        ready = wait([worker.connection for worker in workers if worker.alive], timeout=0.2)
        for worker in (worker for worker in workers if worker.connection in ready):
            try:
                worker.listen(show, finished)
            except Exception as error:
                failure = failure or (None if stopping else error)
        if (interrupts or failure) and not stopping:
            stopping = True
            busy = [worker for worker in workers if worker.job is not None]
            for worker in busy:
                worker.process.terminate()
            if busy:
                labels = ", ".join(worker.job.label for worker in busy if worker.job is not None)
                console.print(f"stopping after this step: {labels} (Ctrl-C stops at once)", highlight=False)


class _Worker:
    """The parent's side of a worker: its process, the connection to it, and its current job."""

    def __init__(self, place: Place) -> None:
        context = multiprocessing.get_context("spawn")
        self.job: Job | None = None
        self.alive = True
        self.connection, worker_end = context.Pipe()
        self.process = context.Process(target=_serve, args=(worker_end, place.threads))
        resource_tracker.ensure_running()  # its start unblocks SIGINT, so it must come first
        with _environment(place), _sigint_blocked():
            self.process.start()
        worker_end.close()

    def give(self, job: Job) -> None:
        """Start a job."""
        self.job = job
        with suppress(OSError):  # the worker has died, which `listen` reports
            self.connection.send(job)

    def listen(self, show: Show, finished: Callable[[Job, Any], None]) -> None:
        """Receive one message.

        Raises:
            UserError: The job failed because of its input, or the worker died.
            RuntimeError: The job failed with another exception; the text is the worker's traceback.
        """
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            label = self.job.label if self.job is not None else "a worker without a run"
            self.job, self.alive = None, False
            self.process.join(GRACE)
            raise UserError(f"{label}: {_describe_exit(self.process.exitcode)}") from None
        if kind == "update":
            show(value)
            return
        job, self.job = self.job, None
        if kind == "done" and job is not None:
            finished(job, value)
            return
        raise UserError(value) if kind == "refused" else RuntimeError(f"in a worker process:\n{value}")

    def stop(self) -> None:
        """Ask the worker to end: closing the connection ends an idle worker, SIGTERM a busy one."""
        self.connection.close()
        if self.job is not None:
            self.process.terminate()

    def end(self) -> None:
        """Wait for the worker to end, and kill it after GRACE seconds."""
        self.process.join(GRACE)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()


def _describe_exit(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = "; if memory ran out, fewer --jobs at a time need less" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint}"
    return f"its process ended with status {code}"


def _serve(connection: Connection, threads: int) -> None:
    """The worker's side: receive jobs and send updates and results, until the parent closes the connection or ends."""
    os.setsid()  # a terminal's Ctrl-C goes to the parent only, which passes it on
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # discards a SIGINT that came while this process started
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    torch.set_num_threads(threads)
    last = 0.0

    def show(update: ProgressUpdate) -> None:
        nonlocal last
        if (now := time.monotonic()) - last > 0.1:  # at most ten updates a second
            connection.send(("update", update))
            last = now

    host = Host(show)
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        while True:
            job = connection.recv()
            try:
                message = ("done", perform(job, host))
            except UserError as error:
                message = ("refused", str(error))
            except Exception:
                message = ("broken", traceback.format_exc())
            connection.send(message)
    except (EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        pass


def _end_with_the_parent() -> None:
    """End this process when its parent has ended: a killed parent cannot stop its workers."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _environment(place: Place) -> Iterator[None]:
    """A process started in this context sees only the place's GPU, from its very first line."""
    before = os.environ.get(VISIBLE)
    try:
        if place.gpu is not None:
            os.environ[VISIBLE] = place.gpu
        yield
    finally:
        if place.gpu is not None:
            os.environ.pop(VISIBLE) if before is None else os.environ.update({VISIBLE: before})


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """A process started in this context starts with SIGINT blocked. One that arrives meanwhile reaches this process."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _counting_interrupts() -> Iterator[list[int]]:
    """Inside this context, append SIGINT and SIGTERM to a list instead of raising; ignored signals stay ignored."""
    caught: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        before = {}
    replaced = {number: handler for number, handler in before.items() if handler not in (None, signal.SIG_IGN)}
    for number in replaced:
        signal.signal(number, lambda caught_number, _: caught.append(caught_number))
    try:
        yield caught
    finally:
        for number, handler in replaced.items():
            signal.signal(number, handler)
