"""One worker as its supervisor sees it: a process that is started, heard of, and may end."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from enum import Enum

from composition.hosting.heartbeat import Heard, Silence

CONFIGURATION_EXITS = (2, 78)
"""Wrong usage or configuration."""


class WorkerState(Enum):
    WAITING = "waiting"
    """For the end of a pause, after one that ended."""
    STARTING = "starting"
    SERVING = "serving"


class RestartReason(Enum):
    """Why a worker is replaced."""

    CONFIGURATION = "configuration"
    FAILED = "failed"
    SIGNAL = "signal"
    ENDED = "ended"
    """In order, though nobody here asked for it."""
    SILENT = "silent"
    """Its event loop did not turn, or it never got ready: it was killed."""
    NOT_STARTED = "not_started"
    """The system gave no process."""


class WorkerProcess:
    """Raises `OSError` when the system has no process, no descriptor or no such program."""

    def __init__(
        self, command: Callable[[int], Sequence[str]], environ: Mapping[str, str], keep: Sequence[int]
    ) -> None:
        said_read, said_write = os.pipe()
        try:
            leash_read, self._leash = os.pipe()
        except OSError:
            os.close(said_read)
            os.close(said_write)
            raise
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
                command(said_write),
                stdin=leash_read,
                pass_fds=(said_write, *keep),
                env=dict(environ),
                # Ctrl-C on the terminal reaches the supervisor alone, which tells the workers.
                start_new_session=True,
            )
        except BaseException:
            os.close(said_read)
            os.close(self._leash)
            raise
        finally:
            os.close(said_write)
            os.close(leash_read)
        self.heard = Heard(said_read)
        self._silence = Silence(self.pid)
        self.lived_s = 0.0
        """While the supervisor was awake."""
        self.is_killed = False

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def state(self) -> WorkerState:
        return WorkerState.SERVING if self.heard.is_ready else WorkerState.STARTING

    def listen(self, awake_s: float) -> None:
        """`awake_s` has passed since the last call."""
        self.lived_s += awake_s
        if self.heard.listen():
            self._silence.broken()
        else:
            self._silence.lasts(awake_s)

    def is_silent(self, *, serving_s_max: float, starting_s_max: float) -> bool:
        if not self.heard.is_ready:
            return self.lived_s > starting_s_max
        return self._silence.exceeds(serving_s_max)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """For its silence: a process that is stopped ends by nothing less."""
        self.is_killed = True
        self._process.kill()

    def ended(self) -> int | None:
        """The exit code, or the negative number of a signal; None while it runs. Closes what it had."""
        code = self._process.poll()
        if code is not None:
            self.heard.listen()
            self.heard.close()
            os.close(self._leash)
        return code

    def reason(self, code: int) -> RestartReason:
        if self.is_killed:
            return RestartReason.SILENT
        if code < 0:
            return RestartReason.SIGNAL
        if code in CONFIGURATION_EXITS:
            return RestartReason.CONFIGURATION
        return RestartReason.FAILED if code else RestartReason.ENDED
