"""`creditctl` as a process of its own, for tests that look at it from outside."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

ROOT = Path(__file__).parents[3]
WAIT_S_MAX = 60.0


def environ_with(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without its own settings, and with these."""
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("CREDIT_")}
    return {**inherited, **settings}


def creditctl(*arguments: str, settings: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "composition", *arguments],
        cwd=ROOT,
        env=environ_with(settings or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WAIT_S_MAX,
        check=False,
    )


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Fails when it does not come true in time."""
    give_up_s = time.monotonic() + WAIT_S_MAX
    while not condition():
        assert time.monotonic() < give_up_s, f"waited {WAIT_S_MAX} s for {what}"
        time.sleep(0.02)


class Serving:
    """A `serve` or `demo` that is killed at the end, if it has not ended by then."""

    def __init__(self, *arguments: str, settings: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "composition", *arguments, "--bind", "127.0.0.1:0"],
            cwd=ROOT,
            env=environ_with(settings or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: dict[str, list[str]] = {"stdout": [], "stderr": []}
        self._readers = [
            threading.Thread(target=self._read, args=(name,), daemon=True) for name in self._lines
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str) -> None:
        stream = self._process.stdout if name == "stdout" else self._process.stderr
        assert stream is not None
        with stream:
            for line in stream:
                self._lines[name].append(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            # SIGTERM first: a supervisor takes its workers with it.
            self._process.terminate()
            try:
                self._process.wait(WAIT_S_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join()

    @property
    def output(self) -> str:
        return "".join(self._lines["stdout"])

    @property
    def errors(self) -> str:
        return "".join(self._lines["stderr"])

    @property
    def pid(self) -> int:
        return self._process.pid

    def url(self) -> str:
        """Where it serves, once it says so."""
        wait_until(lambda: "serving on" in self.output or self._process.poll() is not None, "the address")
        found = re.search(r"serving on (\S+)", self.output)
        assert found is not None, f"it ended with {self._process.poll()}: {self.errors}"
        return found[1]

    def get(self, path: str, **headers: str) -> httpx.Response:
        """One request on a connection of its own."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.get(self.url() + path, headers=named, timeout=WAIT_S_MAX)

    def workers(self) -> list[int]:
        """Process ids of its children."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Sends the signal, waits for the end, gives the exit code."""
        self._process.send_signal(number)
        return self.wait()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        return self._process.wait(WAIT_S_MAX)
