"""Run a reward function in a process with a time limit, so that no error, hang or crash of it ends a run.

The process is a fresh interpreter that imports the function's module. It receives the keyword arguments of samples over
a pipe, and sends back each result as soon as it is computed. A call over the time limit, or a process that ends, costs
one sample (the whole batch, if the function takes batches); another process continues after it.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from qtrain.errors import UserError
from qtrain.rewards.functions import RewardFunction, load_function

START_SECONDS = 120.0
"""Most seconds until the process has imported the function's module."""

MOST_RESTARTS = 8
"""Restarts in one batch after which its remaining samples fail without a call, so that a run cannot stall for hours."""


class RewardProcess:
    """The parent's side of a process that runs one reward function; it starts at the first call.

    Args:
        function: The function.
        timeout: Most seconds of one call.
    """

    def __init__(self, function: RewardFunction, timeout: float) -> None:
        self.function, self.timeout = function, timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def call(self, inputs: Sequence[Mapping[str, Any]]) -> list[float | str]:
        """Return the reward of each sample, or a description of its error."""
        results: list[float | str] = []
        try:
            for _ in range(MOST_RESTARTS):
                if len(results) == len(inputs):
                    return results
                connection = self._connection or self._start()
                if isinstance(connection, str):
                    return [*results, *[connection] * (len(inputs) - len(results))]
                self._ask(connection, inputs[len(results) :], results)
        except BaseException:  # an interrupt, after which the pipe may still hold results
            self.close()
            raise
        left = len(inputs) - len(results)
        return [*results, *[f"not called after {MOST_RESTARTS} time-outs or crashes in this batch"] * left]

    def _ask(self, connection: Connection, inputs: Sequence[Mapping[str, Any]], results: list[float | str]) -> None:
        """Append results until all inputs are done, or a call fails with its process."""
        calls = 1 if self.function.batch else len(inputs)
        try:
            connection.send(list(inputs))
            for _ in range(calls):
                if not connection.poll(self.timeout):
                    reason = f"no result after {self.timeout:g} s (reward_timeout)"
                    break
                results += connection.recv()
            else:
                return
        except (EOFError, OSError):
            assert self._process is not None
            reason = f"its process ended with status {self._process.wait()}"
        self.close()
        results += [reason] * (len(inputs) if self.function.batch else 1)

    def _start(self) -> Connection | str:
        """Start the process. Returns the connection to it, or why it does not start."""
        connection, child_end = Pipe()
        # sys.path is handed over, since the module may be found through changes that this process has made to it.
        code = f"import sys; sys.path[:] = {sys.path!r}; from qtrain.rewards.process import serve; "
        code += f"serve({child_end.fileno()}, {self.function.name!r})"
        self._connection = connection
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.PIPE,  # its end tells the process that this one has ended
                pass_fds=[child_end.fileno()],
                start_new_session=True,  # a terminal's Ctrl-C goes to this process alone
            )
        except OSError as error:
            self.close()
            return f"its process cannot be started: {error}"
        finally:
            child_end.close()
        reason: str | None = f"its module was not imported after {START_SECONDS:g} s"
        try:
            if connection.poll(START_SECONDS):
                reason = connection.recv()
        except (EOFError, OSError):
            reason = f"its process ended with status {self._process.wait()} while it started"
        if reason is None:
            return connection
        self.close()
        return reason

    def close(self) -> None:
        """End the process, whatever it is doing; the next call starts another."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdin is not None
            self._process.stdin.close()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None


def serve(descriptor: int, name: str) -> None:
    """The process's side: import the function, then score samples until the parent closes the connection or ends.

    Args:
        descriptor: File descriptor of the connection.
        name: The function, as `module:object`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    os.dup2(2, 1)  # what the function prints must not get into the parent's standard output
    connection = Connection(descriptor)
    try:
        function = load_function(name)
    except UserError as error:
        connection.send(str(error))
        return
    connection.send(None)
    try:
        while True:
            inputs = connection.recv()
            if function.batch:
                connection.send(function.call_batch(inputs))
                continue
            for keywords in inputs:
                connection.send([function.call(keywords)])
    except (EOFError, OSError):
        pass


def _end_with_the_parent() -> None:
    """End this process when its parent has ended, even in the middle of a call."""
    os.read(0, 1)
    os._exit(1)
