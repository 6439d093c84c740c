"""A worker as its supervisor sees it: a process with a heartbeat and a leash."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from enum import Enum

from composition.exit_codes import EXIT_CONFIGURATION, EXIT_USAGE
from composition.hosting.heartbeat import HeartbeatMonitor, Silence

CONFIGURATION_EXITS = (EXIT_USAGE, EXIT_CONFIGURATION)


class WorkerState(Enum):
    WAITING = "waiting"
    """Not running, during the pause before a restart."""
    STARTING = "starting"
    SERVING = "serving"


class RestartReason(Enum):
    """Why a worker is replaced."""

    CONFIGURATION = "configuration"
    FAILED = "failed"
    SIGNAL = "signal"
    ENDED = "ended"
    """It ended in order, but unasked."""
    SILENT = "silent"
    """It was killed, since its event loop did not run or it never got ready."""
    NOT_STARTED = "not_started"
    """The system provided no process."""


class WorkerProcess:
    """A running worker. The constructor raises `OSError` when the system has no process for it."""

    def __init__(
        self, command: Callable[[int], Sequence[str]], environ: Mapping[str, str], keep: Sequence[int]
    ) -> None:
        heartbeat_read, heartbeat_write = os.pipe()
        try:
            leash_read, self._leash = os.pipe()
        except OSError:
            os.close(heartbeat_read)
            os.close(heartbeat_write)
            raise
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
                command(heartbeat_write),
                stdin=leash_read,
                pass_fds=(heartbeat_write, *keep),
                env=dict(environ),
                # Ctrl-C on the terminal reaches the supervisor alone, which signals the workers.
                start_new_session=True,
            )
        except BaseException:
            os.close(heartbeat_read)
            os.close(self._leash)
            raise
        finally:
            os.close(heartbeat_write)
            os.close(leash_read)
        self.heartbeat = HeartbeatMonitor(heartbeat_read)
        self._silence = Silence(self.pid)
        self.lived_s = 0.0
        """Seconds that it has lived while the supervisor was awake."""
        self.is_killed = False

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def state(self) -> WorkerState:
        return WorkerState.SERVING if self.heartbeat.is_ready else WorkerState.STARTING

    def poll_heartbeat(self, awake_s: float) -> None:
        """Reads the heartbeat, `awake_s` seconds after the last call."""
        self.lived_s += awake_s
        if self.heartbeat.poll():
            self._silence.reset()
        else:
            self._silence.extend(awake_s)

    def is_silent(self, *, serving_s_max: float, starting_s_max: float) -> bool:
        """Whether it exceeds the bound of silence, or of its start."""
        if not self.heartbeat.is_ready:
            return self.lived_s > starting_s_max
        return self._silence.exceeds(serving_s_max)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kills it for its silence: no other signal ends a stopped process."""
        self.is_killed = True
        self._process.kill()

    def poll(self) -> int | None:
        """The exit code, or the negative number of a signal; None while it runs. Then closes its pipes."""
        code = self._process.poll()
        if code is not None:
            self.heartbeat.poll()
            self.heartbeat.close()
            os.close(self._leash)
        return code

    def restart_reason(self, code: int) -> RestartReason:
        """Why a worker that ended with this code has to be replaced."""
        if self.is_killed:
            return RestartReason.SILENT
        if code < 0:
            return RestartReason.SIGNAL
        if code in CONFIGURATION_EXITS:
            return RestartReason.CONFIGURATION
        return RestartReason.FAILED if code else RestartReason.ENDED
