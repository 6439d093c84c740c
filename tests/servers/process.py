"""One server process: started quietly, waited for by condition, and never left behind."""

from __future__ import annotations

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import cycle, islice
from pathlib import Path

POLL_INTERVAL_S = 0.02
STOP_DEADLINE_S_MAX = 15.0
PORT_ATTEMPTS_MAX = 200

# Below Linux's ephemeral range (32768–60999): while a server is down between two starts, no outgoing
# connection can be given its port, and a client that reconnects cannot connect to itself.
PORT_FIRST, PORT_LAST = 20_000, 32_000
PORTS_A_WORKER = 1_000
"""Test processes side by side take their ports from ranges of their own: a server that is down between two
starts keeps its port."""

LOG_TAIL_BYTES = 4_000


class ServerFailed(Exception):
    """A server ended, or was not ready in time. The message carries the end of its log."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on, and that this process was not given lately: who needs
    several has all of them before one is bound."""
    for port in islice(_ports_in_turn(), PORT_ATTEMPTS_MAX):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerFailed(f"{PORT_ATTEMPTS_MAX} ports were tried, and none is free")


@cache
def _ports_in_turn() -> Iterator[int]:
    """All of this process's range, again and again, from a place that differs from run to run."""
    first, last = _port_range(os.environ.get("PYTEST_XDIST_WORKER", ""))
    place = random.SystemRandom().randint(first, last)
    return cycle((*range(place, last + 1), *range(first, place)))


def _port_range(worker: str) -> tuple[int, int]:
    """`worker` is `gw0`, `gw1`, …, or empty for a test process alone."""
    if not worker:
        return PORT_FIRST, PORT_LAST
    ranges = (PORT_LAST - PORT_FIRST) // PORTS_A_WORKER
    first = PORT_FIRST + int(worker.removeprefix("gw")) % ranges * PORTS_A_WORKER
    return first, first + PORTS_A_WORKER - 1


class ServerProcess:
    """A child process with its output in a file.

    It dies with its parent, however that ends: at exit it is killed, and on Linux the kernel kills it when
    the thread that started it is gone (so start servers from the main thread). It has a session of its own:
    Ctrl-C reaches the tests, which then stop it in order.
    """

    def __init__(self, arguments: Sequence[str], log_file: Path) -> None:
        self._arguments = tuple(arguments)
        self._log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts it; being ready is the caller's condition (see `wait_until`)."""
        if self.running:
            raise RuntimeError(f"{self._arguments[0]} runs already")
        # setpriv rather than preexec_fn: Python code between fork and exec is unsafe once there are threads.
        setpriv = shutil.which("setpriv")
        prefix = (setpriv, "--pdeathsig", "KILL", "--") if setpriv else ()
        # A file, never a pipe: a child that holds a pipe of ours keeps our own caller waiting.
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                (*prefix, *self._arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        atexit.register(self.kill)

    def wait_until(self, ready: Callable[[], bool], what: str, *, deadline_s_max: float) -> None:
        """Asks `ready` until it is true. ServerFailed when the process ends, or when the time is up."""
        deadline = time.monotonic() + deadline_s_max
        while not ready():
            if not self.running:
                raise ServerFailed(f"{self._arguments[0]} ended before {what}\n{self._log_tail()}")
            if time.monotonic() > deadline:
                raise ServerFailed(f"{what}: not within {deadline_s_max} s\n{self._log_tail()}")
            time.sleep(POLL_INTERVAL_S)

    def stop(self) -> None:
        """Asks it to end, and kills it when it has not within `STOP_DEADLINE_S_MAX`."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it as a power cut would, without a chance to write anything."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Keeps it from running: its connections stay open and nothing answers.

        Returns when all of its threads have stopped: one may run on for a moment, and answer, elsewhere.
        """
        self._signal(signal.SIGSTOP)
        if self._process is not None:
            os.waitpid(self._process.pid, os.WUNTRACED)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        atexit.unregister(self.kill)
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(STOP_DEADLINE_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _log_tail(self) -> str:
        return self._log_file.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
