"""The supervisor alone, with workers that are a line of shell each."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from composition.hosting import supervisor
from composition.hosting.heartbeat import STARVED_TIMES_MAX, Heartbeat, HeartbeatMonitor, Silence
from composition.hosting.supervisor import Plan, Supervisor
from composition.hosting.worker_process import RestartReason, WorkerProcess, WorkerState
from tests.composition.hosting.serving import wait_until

SERVES = "printf R >/proc/self/fd/$pipe; while sleep 0.05; do printf . >/proc/self/fd/$pipe; done"
FALLS_SILENT = "printf R >/proc/self/fd/$pipe; exec sleep 60"


@dataclass
class Ward:
    """A supervisor in a thread of its own, which gets signals by hand, and what it says."""

    scripts: list[str]
    """Of each worker in turn; a new process runs what stands here then."""
    silence_s_max: float = 5.0
    ready: int = 0
    reasons: list[RestartReason] = field(default_factory=list)
    states: Mapping[WorkerState, int] = field(default_factory=dict)
    starts: list[tuple[int, float]] = field(default_factory=list)
    exit_code: int | None = None

    def __post_init__(self) -> None:
        self.supervisor = Supervisor(
            Plan(
                workers=len(self.scripts),
                command=self._command,
                environ=os.environ,
                stop_s_max=5.0,
                silence_s_max=self.silence_s_max,
                on_ready=self._on_ready,
                on_death=lambda _: None,
                on_restart=self.reasons.append,
                on_change=self._on_change,
            )
        )

    def _command(self, index: int, pipe: int, first: bool) -> list[str]:
        self.starts.append((index, time.monotonic()))
        return ["/bin/sh", "-c", f"pipe={pipe}; first={first}; {self.scripts[index]}"]

    def _on_ready(self) -> None:
        self.ready += 1

    def _on_change(self, states: Mapping[WorkerState, int]) -> None:
        self.states = states

    def pids(self) -> list[int]:
        return [each.pid for each in self.supervisor._alive()]

    def are(self, **states: int) -> bool:
        return {state.value: number for state, number in self.states.items() if number} == states


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Ward], None]]:
    """Signals reach the main thread only; here they are told to the supervisor instead."""
    threads: list[tuple[Ward, threading.Thread]] = []

    def start(ward: Ward) -> None:
        def body() -> None:
            reading, writing = os.pipe()
            os.set_blocking(reading, False)
            ward.exit_code = ward.supervisor._loop(reading)
            os.close(reading)
            os.close(writing)

        thread = threading.Thread(target=body)
        threads.append((ward, thread))
        thread.start()

    monkeypatch.setattr(supervisor, "WAIT_S_MAX", 0.02)
    yield start
    for ward, thread in threads:
        ward.supervisor._on_signal()
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize("code", [1, 2, 78])
def test_before_it_served_a_failure_ends_the_service_with_its_code(
    code: int, run: Callable[[Ward], None]
) -> None:
    ward = Ward([SERVES, f"exit {code}"])
    run(ward)
    wait_until(lambda: ward.exit_code is not None, "the end")
    assert ward.exit_code == code
    assert ward.ready == 0


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 78", RestartReason.CONFIGURATION),
        ("exit 2", RestartReason.CONFIGURATION),
        ("exit 1", RestartReason.FAILED),
        ("exit 0", RestartReason.ENDED),
        ("kill -9 $$", RestartReason.SIGNAL),
    ],
)
def test_once_it_served_every_failure_is_tried_again_with_growing_pauses(
    script: str, reason: RestartReason, run: Callable[[Ward], None]
) -> None:
    ward = Ward([SERVES, SERVES])
    run(ward)
    wait_until(lambda: ward.are(serving=2), "both")
    healthy, dead = ward.pids()
    ward.scripts[1] = script
    os.kill(dead, signal.SIGKILL)
    wait_until(lambda: ward.reasons[1:] == [reason] * 3, "three tries")
    assert ward.pids()[0] == healthy
    starts = [at_s for index, at_s in ward.starts if index == 1][1:]
    assert starts[1] - starts[0] >= supervisor.RESTART_DELAY_S_MIN * 2
    assert starts[2] - starts[1] >= supervisor.RESTART_DELAY_S_MIN * 4
    ward.scripts[1] = SERVES
    wait_until(lambda: ward.are(serving=2), "both again")
    assert ward.exit_code is None
    assert ward.ready == 1


def test_pauses_are_bounded(monkeypatch: pytest.MonkeyPatch, run: Callable[[Ward], None]) -> None:
    monkeypatch.setattr(supervisor, "RESTART_DELAY_S_MIN", 0.001)
    monkeypatch.setattr(supervisor, "RESTART_DELAY_S_MAX", 0.004)
    ward = Ward([SERVES])
    run(ward)
    wait_until(lambda: ward.are(serving=1), "it")
    ward.scripts[0] = "exit 1"
    os.kill(ward.pids()[0], signal.SIGKILL)
    wait_until(lambda: len(ward.reasons) > 20, "many tries")
    ward.scripts[0] = SERVES
    wait_until(lambda: ward.are(serving=1), "it again")


def test_a_system_without_room_for_a_process_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, run: Callable[[Ward], None]
) -> None:
    ward = Ward([SERVES, SERVES])
    run(ward)
    wait_until(lambda: ward.are(serving=2), "both")

    def full(*_: object, **__: object) -> None:
        raise BlockingIOError("no room")

    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "Popen", full)
        os.kill(ward.pids()[1], signal.SIGKILL)
        wait_until(lambda: RestartReason.NOT_STARTED in ward.reasons, "a try")
        assert ward.are(serving=1, waiting=1)
    wait_until(lambda: ward.are(serving=2), "both again")


def test_a_worker_that_falls_silent_is_killed_and_the_others_are_not(run: Callable[[Ward], None]) -> None:
    ward = Ward([SERVES, FALLS_SILENT], silence_s_max=0.5)
    run(ward)
    wait_until(lambda: ward.ready == 1, "both")
    healthy, silent = ward.pids()
    ward.scripts[1] = SERVES
    wait_until(lambda: ward.reasons == [RestartReason.SILENT], "the end of the silent one")
    wait_until(lambda: ward.are(serving=2), "both")
    assert ward.pids()[0] == healthy
    assert silent not in ward.pids()


def test_a_replacement_that_never_gets_ready_is_killed(
    monkeypatch: pytest.MonkeyPatch, run: Callable[[Ward], None]
) -> None:
    ward = Ward([SERVES, SERVES])
    run(ward)
    wait_until(lambda: ward.are(serving=2), "both")
    monkeypatch.setattr(supervisor, "START_S_MAX", 0.3)
    ward.scripts[1] = "while sleep 0.05; do printf . >/proc/self/fd/$pipe; done"
    os.kill(ward.pids()[1], signal.SIGKILL)
    wait_until(lambda: ward.reasons == [RestartReason.SIGNAL, RestartReason.SILENT], "its end")


def test_what_a_worker_says_is_heard_however_it_comes() -> None:
    reading, writing = os.pipe()
    monitor, heartbeat = HeartbeatMonitor(reading), Heartbeat(writing)
    assert not monitor.poll()
    heartbeat.beat()
    assert (monitor.poll(), monitor.is_ready) == (True, False)
    heartbeat.beat()
    heartbeat.ready()
    heartbeat.beat()
    assert (monitor.poll(), monitor.is_ready) == (True, True)
    # A supervisor that does not read, and then one that is gone, harm no worker.
    for _ in range(100_000):
        heartbeat.beat()
    monitor.close()
    heartbeat.beat()
    os.close(writing)


def test_the_end_of_a_pipe_is_no_sign_of_life() -> None:
    reading, writing = os.pipe()
    monitor = HeartbeatMonitor(reading)
    os.close(writing)
    assert not monitor.poll()
    assert monitor.is_closed
    assert not monitor.poll()
    monitor.close()


@dataclass
class Scheduled(Silence):
    """With a scheduler that the test plays."""

    waited_s: float = 0.0

    def __init__(self) -> None:
        self.waited_s = 0.0
        super().__init__(os.getpid())

    def _waited(self) -> float:
        return self.waited_s


def test_time_without_a_processor_is_not_silence() -> None:
    silence = Scheduled()
    for _ in range(20):
        silence.waited_s += 0.45
        silence.extend(0.5)
    assert not silence.exceeds(2.0)
    for _ in range(2):
        silence.extend(0.5)
    assert silence.exceeds(1.5)
    silence.reset()
    assert not silence.exceeds(0.0)


def test_a_loop_that_spins_on_a_crowded_machine_is_silent_in_the_end() -> None:
    silence = Scheduled()
    turns = 0
    while not silence.exceeds(2.0):
        silence.waited_s += 0.5
        silence.extend(0.5)
        turns += 1
    assert turns == 2 * 2 * STARVED_TIMES_MAX + 1


def test_the_scheduler_is_asked_of_a_real_process() -> None:
    worker = WorkerProcess(lambda _: [sys.executable, "-c", "while True: pass"], os.environ, ())
    statistics = Path(f"/proc/{worker.pid}/schedstat")
    assert len(statistics.read_text().split()) == 3
    worker.kill()
    wait_until(lambda: worker.poll() is not None, "its end")
