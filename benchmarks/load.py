"""So many clients of one HTTP/1.1 server, each on a connection of its own that is kept alive.

Every server that is measured is asked by this one client, in a process of its own. It sends the same bytes
again and again and looks at nothing but the status and the length of an answer: a fraction of what any of
the servers spends on it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, cast

from benchmarks.rounds import Figures, percentile

ANSWER_S_MAX: Final = 30.0

_END_OF_HEAD: Final = b"\r\n\r\n"
_LENGTH: Final = b"\r\ncontent-length:"


@dataclass(frozen=True, slots=True)
class Question:
    """A request, and the status that its answer must have."""

    path: str
    headers: Mapping[str, str]
    status: int

    def encoded(self, port: int) -> bytes:
        fields = {"Host": f"127.0.0.1:{port}", "Accept": "*/*", **self.headers}
        lines = [f"GET {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        return "\r\n".join(lines).encode("ascii") + _END_OF_HEAD


class WrongAnswer(Exception):
    """The server answered something else, or went away."""


class _Client(asyncio.Protocol):
    """Asks, and asks again as soon as the answer is whole, until its time is over."""

    def __init__(self, request: bytes, status: int) -> None:
        self._request = request
        self._status = b"%d" % status
        self._ends_s = 0.0
        self._asked_s = 0.0
        self._received = b""
        self._done: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None
        self.latencies: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def begin(self, ends_s: float) -> asyncio.Future[None]:
        self._ends_s = ends_s
        self.latencies = []
        self._done = asyncio.get_running_loop().create_future()
        self._ask()
        return self._done

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data
        end = received.find(_END_OF_HEAD)
        if end < 0:
            return
        head = received[:end].lower()
        place = head.find(_LENGTH)
        if received[9:12] != self._status or place < 0:
            self._fail(WrongAnswer(f"{received[:200]!r} instead of {self._status.decode()} with a length"))
            return
        length = int(head[place + len(_LENGTH) :].partition(b"\r\n")[0])
        if len(received) < end + len(_END_OF_HEAD) + length:
            return
        self._received = b""
        now_s = time.perf_counter()
        self.latencies.append(now_s - self._asked_s)
        if now_s < self._ends_s:
            self._ask()
        elif self._done is not None:
            self._done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(WrongAnswer(f"the server closed the connection: {exc}"))

    def _ask(self) -> None:
        if self._transport is None:
            raise WrongAnswer("not connected")
        self._asked_s = time.perf_counter()
        self._transport.write(self._request)

    def _fail(self, error: WrongAnswer) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)


async def load(port: int, question: Question, *, clients: int, seconds: float) -> Figures:
    """How many answers a second, and how long they took. Raises `WrongAnswer`.

    Each round connects anew: between rounds a server may close what is idle.
    """
    loop = asyncio.get_running_loop()
    connection = partial(_Client, question.encoded(port), question.status)
    connected: list[_Client] = []
    try:
        for _ in range(clients):
            _, client = await loop.create_connection(connection, "127.0.0.1", port)
            connected.append(client)
        began_s = time.perf_counter()
        async with asyncio.timeout(seconds + ANSWER_S_MAX):
            await asyncio.gather(*(client.begin(began_s + seconds) for client in connected))
        took_s = time.perf_counter() - began_s
    finally:
        for client in connected:
            client.close()
    latencies = sorted(latency for client in connected for latency in client.latencies)
    return {
        "answers": float(len(latencies)),
        "per_second": len(latencies) / took_s,
        "p99_ms": percentile(latencies, 0.99) * 1_000,
    }
