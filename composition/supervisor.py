"""Several processes serve one port: a parent starts them, replaces one that dies, and ends them in order.

The parent accepts no connection and has no event loop. It is deaf to nothing: signals, deaths and
readiness all arrive at one `select`.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

RESTART_DELAY_S_MIN = 0.1
RESTART_DELAY_S_MAX = 10.0
STEADY_S = 30.0
"""A worker that lived so long starts the count of restarts anew."""
WAIT_S_MAX = 0.5
FINAL_EXITS = (2, 78)
"""Wrong usage or configuration: another start would end the same."""

_log = logging.getLogger("credit.supervisor")


@dataclass(slots=True)
class _Worker:
    index: int
    restarts: int = 0
    process: subprocess.Popen[bytes] | None = None
    ready_fd: int = -1
    leash_fd: int = -1
    started_s: float = 0.0
    start_at_s: float = 0.0
    was_ready: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run. `command(index, ready_fd, first)` gives the arguments of a worker: it writes a byte to
    `ready_fd` once it serves; its standard input ends when the supervisor is gone."""

    workers: int
    command: Callable[[int, int, bool], Sequence[str]]
    environ: Mapping[str, str] = field(repr=False)
    stop_s_max: float
    on_ready: Callable[[], None]
    on_death: Callable[[int], None]
    """Given the process id of each worker that ended."""


class Supervisor:
    """Runs until SIGINT or SIGTERM, or until its workers cannot be started at all."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._workers = [_Worker(index) for index in range(plan.workers)]
        self._signals = 0
        self._killed = False
        self._announced = False
        self._exit_code: int | None = None
        self._stop_by_s = 0.0

    def run(self) -> int:
        """The exit code: 0 after an orderly end."""
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        os.set_blocking(wake_read, False)
        before = {
            number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)
        }
        # A handler of its own, since a signal whose default is to be ignored wakes nobody up.
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
        while True:
            now_s = time.monotonic()
            if not stopping and (self._signals or self._exit_code is not None):
                stopping = True
                self._stop_by_s = now_s + self._plan.stop_s_max
                self._send_all(signal.SIGTERM)
            if stopping and not self._killed and (self._signals > 1 or now_s > self._stop_by_s):
                self._killed = True
                self._send_all(signal.SIGKILL)
            self._reap(stopping)
            if stopping and not self._alive():
                # Workers cut off by a second signal did not end in order, and neither did this.
                return self._exit_code or (1 if self._killed else 0)
            if not stopping:
                self._start_due(now_s)
            self._wait(wake_fd, stopping=stopping)

    def _alive(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.process is not None]

    def _send_all(self, number: signal.Signals) -> None:
        for worker in self._alive():
            if worker.process is not None:
                worker.process.send_signal(number)

    def _start_due(self, now_s: float) -> None:
        for worker in self._workers:
            if worker.process is None and worker.start_at_s <= now_s and self._exit_code is None:
                self._start(worker, now_s)

    def _start(self, worker: _Worker, now_s: float) -> None:
        ready_read, ready_write = os.pipe()
        leash_read, leash_write = os.pipe()
        try:
            worker.process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
                self._plan.command(worker.index, ready_write, worker.restarts == 0),
                stdin=leash_read,
                pass_fds=(ready_write,),
                env=dict(self._plan.environ),
                # Ctrl-C on the terminal reaches the supervisor alone, which tells the workers.
                start_new_session=True,
            )
        finally:
            os.close(ready_write)
            os.close(leash_read)
        os.set_blocking(ready_read, False)
        worker.ready_fd, worker.leash_fd = ready_read, leash_write
        worker.started_s, worker.was_ready = now_s, False

    def _reap(self, stopping: bool) -> None:
        for worker in self._alive():
            process = worker.process
            if process is None or process.poll() is None:
                continue
            self._read_ready(worker)
            os.close(worker.leash_fd)
            if worker.ready_fd >= 0:
                os.close(worker.ready_fd)
            worker.process, worker.ready_fd, worker.leash_fd = None, -1, -1
            self._plan.on_death(process.pid)
            if not stopping:
                self._plan_restart(worker, process)

    def _plan_restart(self, worker: _Worker, process: subprocess.Popen[bytes]) -> None:
        code = process.returncode
        if code in FINAL_EXITS or not (worker.was_ready or self._announced):
            # Never served anything: the reason stands in its own output, and another try has the same.
            self._exit_code = code if code > 0 else 1
            return
        now_s = time.monotonic()
        worker.restarts = 1 if now_s - worker.started_s > STEADY_S else worker.restarts + 1
        delay_s = min(RESTART_DELAY_S_MAX, RESTART_DELAY_S_MIN * 2 ** min(worker.restarts - 1, 10))
        worker.start_at_s = now_s + delay_s
        _log.error(
            "worker %s (process %s) ended with %s and is replaced in %.1f s",
            *(worker.index, process.pid, code, delay_s),
        )

    def _until_next_start(self) -> float:
        due_s = [worker.start_at_s for worker in self._workers if worker.process is None]
        left_s = min(due_s) - time.monotonic() if due_s else WAIT_S_MAX
        return min(max(left_s, 0.0), WAIT_S_MAX)

    def _wait(self, wake_fd: int, *, stopping: bool) -> None:
        waiting = {worker.ready_fd: worker for worker in self._workers if worker.ready_fd >= 0}
        timeout_s = WAIT_S_MAX if stopping else self._until_next_start()
        readable, _, _ = select.select([wake_fd, *waiting], [], [], timeout_s)
        for descriptor in readable:
            if descriptor == wake_fd:
                os.read(wake_fd, 4096)
            else:
                self._read_ready(waiting[descriptor])

    def _read_ready(self, worker: _Worker) -> None:
        if worker.ready_fd < 0:
            return
        try:
            said = os.read(worker.ready_fd, 1)
        except BlockingIOError:
            return
        os.close(worker.ready_fd)
        worker.ready_fd = -1
        worker.was_ready = bool(said)
        if not self._announced and all(each.was_ready for each in self._workers):
            self._announced = True
            self._plan.on_ready()
