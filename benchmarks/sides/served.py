"""A server that was started to be measured, in processes of its own."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

READY_S_MAX: Final = 30.0
POLL_S: Final = 0.05
TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")


class Served:
    """The command's process and those that it starts; it listens on `port`."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], port: int) -> None:
        self.port = port
        self._process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_S_MAX)

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: object = None) -> tuple[int, Any]:
        sent = dict(headers)
        if body is not None:
            sent["Content-Type"] = "application/json"
        text = None if body is None else json.dumps(body)
        self._connection.request(method, path, body=text, headers=sent)
        answer = self._connection.getresponse()
        read = answer.read()
        return answer.status, json.loads(read) if read else None

    def wait(self, path: str, headers: Mapping[str, str], status: int) -> None:
        """Until this is answered as it will be while it is measured."""
        deadline_s = time.monotonic() + READY_S_MAX
        answered: int | None = None
        while answered != status:
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"the server did not get ready; its last answer was {answered}")
            try:
                answered, _ = self.ask("GET", path, headers)
            except OSError:
                self._connection.close()
                time.sleep(POLL_S)

    def processor_s(self) -> float:
        """What its processes have used so far (proc(5): utime and stime)."""
        ticks = 0
        for pid in _family(self._process.pid):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS_A_SECOND

    def stop(self) -> None:
        self._connection.close()
        self._process.send_signal(signal.SIGINT)
        self._process.wait(READY_S_MAX)


def _family(pid: int) -> Iterator[int]:
    """The process and its descendants."""
    yield pid
    for tasks in Path(f"/proc/{pid}/task").iterdir():
        for child in (tasks / "children").read_text().split():
            yield from _family(int(child))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
