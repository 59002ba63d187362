"""Jobs in worker processes, each with its own GPU and threads; no worker outlives its parent, however that ends."""

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
"""Seconds that a worker has to end where nothing is left to wait for."""

Show = Callable[[ProgressUpdate], None]
"""Takes a report on how a job is getting on."""


class Host:
    """What the jobs of one process share.

    Args:
        show: Takes their reports.
    """

    def __init__(self, show: Show) -> None:
        self.show = show
        self._last: tuple[Any, Prepared] | None = None

    def prepared(self, config: Config) -> Prepared:
        """A configuration, ready to run. The last task is reused: runs on the same records often follow each other."""
        wanted = tuple(getattr(config, name) for name in PREPARED)
        if self._last is None or self._last[0] != wanted:
            self._last = (wanted, prepare(config))
        before = self._last[1]
        return before._replace(config=config.model_copy(update={n: getattr(before.config, n) for n in PREPARED}))


class Job(Protocol):
    """Work for one process. It is pickled on its way to a worker, and so is what it returns."""

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
        UserError: Bad input, a file or a lack of memory stopped it; the line begins with the job's label.
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
    """Do jobs one after the other, here. See `in_workers`."""
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
    """Do jobs in one worker process a place.

    The first interrupt (Ctrl-C or a polite kill of this process) is passed on to the workers once, who may end their
    step and write a checkpoint; so is the first failure. The next interrupt ends the workers at once. A terminal's
    Ctrl-C does not reach them by itself, since each has its own session.

    Args:
        places: Of the workers.
        next_job: The next job that can begin, None where there is none before another is finished.
        show: Takes the jobs' reports.
        finished: Called here with a finished job and what it returned.

    Raises:
        UserError: A job could not be done (see `perform`), or its worker died.
        KeyboardInterrupt: There was an interrupt. All workers have ended.
    """
    workers: list[_Worker] = []
    with _counting_interrupts() as interrupts:
        try:
            workers.extend(_Worker(place) for place in places)
            failure = _go_on(workers, interrupts, next_job, show, finished)
        finally:
            for worker in workers:
                worker.let_go()
            for worker in workers:
                worker.end()
    if failure is not None:
        raise failure
    if interrupts:
        raise KeyboardInterrupt


def _go_on(
    workers: Sequence["_Worker"],
    interrupts: Sequence[int],
    next_job: Callable[[], Job | None],
    show: Show,
    finished: Callable[[Job, Any], None],
) -> Exception | None:
    """Hand out jobs until none is left, or until the workers were asked to stop and did. Returns the first failure."""
    failure, stopping = None, False
    while True:
        if not stopping:
            for worker in workers:
                if worker.job is None and (job := next_job()) is not None:
                    worker.give(job)
        busy = [worker for worker in workers if worker.job is not None]
        if not busy or len(interrupts) + (failure is not None) > 1:
            return failure
        # The time limit lets an interrupt through.
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
    """The parent's side of a worker: its process, the connection to it, and the job that it has."""

    def __init__(self, place: Place) -> None:
        context = multiprocessing.get_context("spawn")
        self.job: Job | None = None
        self.alive = True
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, place.threads))
        resource_tracker.ensure_running()  # when it starts it lets SIGINT through again
        with _environment(place), _ctrl_c_held_back():
            self.process.start()
        theirs.close()

    def give(self, job: Job) -> None:
        """Begin a job."""
        self.job = job
        with suppress(OSError):  # it died, which `listen` meets too
            self.connection.send(job)

    def listen(self, show: Show, finished: Callable[[Job, Any], None]) -> None:
        """Take one message.

        Raises:
            UserError: It is the job's failure, or the worker died.
            RuntimeError: It is a failure that is no fault of the user's, with the worker's traceback.
        """
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            label = self.job.label if self.job is not None else "a worker without a run"
            self.job, self.alive = None, False
            self.process.join(GRACE)
            raise UserError(f"{label}: {_how_it_ended(self.process.exitcode)}") from None
        if kind == "report":
            show(value)
            return
        job, self.job = self.job, None
        if kind == "done" and job is not None:
            finished(job, value)
            return
        raise UserError(value) if kind == "refused" else RuntimeError(f"in a worker process:\n{value}")

    def let_go(self) -> None:
        """Have it end: an idle worker without a connection does, a busy one is told."""
        self.connection.close()
        if self.job is not None:
            self.process.terminate()

    def end(self) -> None:
        """Wait for its end, or make one."""
        self.process.join(GRACE)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()


def _how_it_ended(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = "; if memory ran out, fewer --jobs at a time need less" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint}"
    return f"its process ended with status {code}"


def _serve(connection: Connection, threads: int) -> None:
    """The worker's side: jobs in, reports and results out, until the parent closes the connection or is gone."""
    os.setsid()  # a terminal's Ctrl-C is the parent's, which passes it on
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # drops one that came while this process started
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    torch.set_num_threads(threads)
    last = 0.0

    def show(report: ProgressUpdate) -> None:
        nonlocal last
        if (now := time.monotonic()) - last > 0.1:  # ten a second are enough to look at
            connection.send(("report", report))
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
    """End this process once its parent has, by whatever cause: a killed parent can tell nobody."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _environment(place: Place) -> Iterator[None]:
    """Have a process that starts inside see the place's GPU alone, before any of its code runs."""
    before = os.environ.get(VISIBLE)
    try:
        if place.gpu is not None:
            os.environ[VISIBLE] = place.gpu
        yield
    finally:
        if place.gpu is not None:
            os.environ.pop(VISIBLE) if before is None else os.environ.update({VISIBLE: before})


@contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Have a process that starts inside begin without heeding SIGINT; one that comes meanwhile is for this process."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _counting_interrupts() -> Iterator[list[int]]:
    """Have SIGINT and SIGTERM, where they are heeded, added to a list instead of raising KeyboardInterrupt."""
    caught: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if threading.current_thread() is not threading.main_thread():  # Python lets no other thread set handlers
        before = {}
    taken = {number: handler for number, handler in before.items() if handler not in (None, signal.SIG_IGN)}
    for number in taken:
        signal.signal(number, lambda caught_number, _: caught.append(caught_number))
    try:
        yield caught
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)
