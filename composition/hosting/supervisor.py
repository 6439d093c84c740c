"""Supervises the processes that share a port: starts, replaces and ends them.

The supervisor accepts no connection and has no event loop. Signals, deaths, readiness and heartbeats all
arrive at one `select`, so that it misses none. Once the service has been announced, only a signal ends it:
the next try may succeed after any end of a worker.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from composition.hosting.worker_process import CONFIGURATION_EXITS, RestartReason, WorkerProcess, WorkerState

RESTART_DELAY_S_MIN = 0.1
RESTART_DELAY_S_MAX = 10.0
STEADY_S = 10.0
"""A worker that served for so long resets the count of restarts."""
START_S_MAX = 90.0
"""A worker that does not serve by then is killed."""
WAIT_S_MAX = 0.5
"""Time beyond this in one round is time in which the supervisor was suspended, when silence means nothing."""

_log = logging.getLogger("credit.supervisor")


@dataclass(slots=True)
class _Worker:
    index: int
    restarts: int = 0
    process: WorkerProcess | None = None
    start_at_s: float = 0.0

    @property
    def state(self) -> WorkerState:
        return WorkerState.WAITING if self.process is None else self.process.state


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run. `command(index, pipe, first)` returns the arguments of a worker.

    A worker sends its heartbeats to the descriptor `pipe`. Its standard input ends with the supervisor.
    """

    workers: int
    command: Callable[[int, int, bool], Sequence[str]]
    environ: Mapping[str, str] = field(repr=False)
    keep: Sequence[int] = ()
    """Descriptors that every worker inherits."""
    stop_s_max: float
    silence_s_max: float
    on_ready: Callable[[], None]
    on_death: Callable[[int], None]
    """Called with the index of each worker that ended."""
    on_restart: Callable[[RestartReason], None]
    on_change: Callable[[Mapping[WorkerState, int]], None]
    """Called with the number of workers in each state."""


class Supervisor:
    """Runs until SIGINT or SIGTERM, or until its workers cannot be started for the first time."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._workers = [_Worker(index) for index in range(plan.workers)]
        self._signals = 0
        self._killed = False
        self._announced = False
        self._exit_code: int | None = None
        self._stop_by_s = 0.0
        self._states: Mapping[WorkerState, int] = {}

    def run(self) -> int:
        """Supervises until the end. The exit code, 0 after an orderly end."""
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        os.set_blocking(wake_read, False)
        before = {
            number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)
        }
        # With a handler, since an ignored signal would not wake the select.
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        wakeup_before = signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        try:
            return self._loop(wake_read)
        finally:
            signal.set_wakeup_fd(wakeup_before)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(wake_read)
            os.close(wake_write)

    def _on_signal(self, *_: object) -> None:
        self._signals += 1

    def _loop(self, wake_fd: int) -> int:
        stopping = False
        last_s = time.monotonic()
        while True:
            now_s = time.monotonic()
            self._poll(min(now_s - last_s, WAIT_S_MAX))
            last_s = now_s
            if not stopping and (self._signals or self._exit_code is not None):
                stopping = True
                self._stop_by_s = now_s + self._plan.stop_s_max
                self._send_all(signal.SIGTERM)
            if stopping and not self._killed and (self._signals > 1 or now_s > self._stop_by_s):
                self._killed = True
                self._send_all(signal.SIGKILL)
            self._reap(stopping)
            if stopping and not self._alive():
                # Workers that were killed did not end in order, and neither does the supervisor.
                return self._exit_code or (1 if self._killed else 0)
            if not stopping:
                self._kill_silent()
                self._start_due(now_s)
            self._report()
            self._wait(wake_fd, stopping=stopping)

    def _alive(self) -> list[WorkerProcess]:
        return [worker.process for worker in self._workers if worker.process is not None]

    def _send_all(self, number: signal.Signals) -> None:
        for process in self._alive():
            process.send(number)

    def _poll(self, awake_s: float) -> None:
        for process in self._alive():
            process.poll_heartbeat(awake_s)
        if not self._announced and all(worker.state is WorkerState.SERVING for worker in self._workers):
            self._announced = True
            self._plan.on_ready()

    def _kill_silent(self) -> None:
        for worker in self._workers:
            process, bound_s = worker.process, self._plan.silence_s_max
            if process is None or process.is_killed:
                continue
            if process.is_silent(serving_s_max=bound_s, starting_s_max=START_S_MAX):
                what = (
                    f"does not answer for {bound_s:g} s"
                    if process.heartbeat.is_ready
                    else "did not get ready"
                )
                _log.error("worker %s (process %s) %s and is killed", worker.index, process.pid, what)
                process.kill()

    def _start_due(self, now_s: float) -> None:
        for worker in self._workers:
            if worker.process is None and worker.start_at_s <= now_s and self._exit_code is None:
                self._start(worker)

    def _start(self, worker: _Worker) -> None:
        index, first = worker.index, worker.restarts == 0
        try:
            worker.process = WorkerProcess(
                lambda pipe: self._plan.command(index, pipe, first), self._plan.environ, self._plan.keep
            )
        except OSError as error:
            if not self._announced:
                raise
            worker.restarts += 1
            self._pause(worker, RestartReason.NOT_STARTED, f"worker {index} could not be started ({error})")

    def _reap(self, stopping: bool) -> None:
        for worker in self._workers:
            process = worker.process
            code = None if process is None else process.poll()
            if process is None or code is None:
                continue
            worker.process = None
            self._plan.on_death(worker.index)
            if not stopping:
                self._plan_restart(worker, process, code)

    def _plan_restart(self, worker: _Worker, process: WorkerProcess, code: int) -> None:
        was_ready = process.heartbeat.is_ready
        if not self._announced and (code in CONFIGURATION_EXITS or not was_ready):
            # It never served: its own output has the reason, which would stop another try as well.
            self._exit_code = code if code > 0 else 1
            return
        worker.restarts = 1 if was_ready and process.lived_s > STEADY_S else worker.restarts + 1
        reason = process.restart_reason(code)
        self._pause(
            worker,
            reason,
            f"worker {worker.index} (process {process.pid}) ended with {code} ({reason.value})",
        )

    def _pause(self, worker: _Worker, reason: RestartReason, what: str) -> None:
        delay_s = min(RESTART_DELAY_S_MAX, RESTART_DELAY_S_MIN * 2 ** min(worker.restarts - 1, 10))
        worker.start_at_s = time.monotonic() + delay_s
        self._plan.on_restart(reason)
        _log.error("%s and is replaced in %.1f s", what, delay_s)

    def _report(self) -> None:
        states = [worker.state for worker in self._workers]
        counted = {state: states.count(state) for state in WorkerState}
        if counted != self._states:
            self._states = counted
            self._plan.on_change(counted)

    def _until_next_start(self) -> float:
        due_s = [worker.start_at_s for worker in self._workers if worker.process is None]
        left_s = min(due_s) - time.monotonic() if due_s else WAIT_S_MAX
        return min(max(left_s, 0.0), WAIT_S_MAX)

    def _wait(self, wake_fd: int, *, stopping: bool) -> None:
        heartbeats = [each.heartbeat.descriptor for each in self._alive() if not each.heartbeat.is_closed]
        timeout_s = WAIT_S_MAX if stopping else self._until_next_start()
        readable, _, _ = select.select([wake_fd, *heartbeats], [], [], timeout_s)
        if wake_fd in readable:
            os.read(wake_fd, 4096)
