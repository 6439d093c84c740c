"""How a call into a MongoDB client is carried out: awaited on the event loop, or in a thread.

PyMongo's two clients and Motor's have the same methods; they differ in which of them are awaited
(PyMongo: `start_transaction` and `aggregate`; Motor: `start_session` instead). Awaiting each result that
can be awaited covers all three.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Protocol

import pymongo

from ports.runtime import Runtime


class Execution(Protocol):
    """Carries out one call of the driver, bounded in time."""

    async def run(self, call: Callable[[], Any], *, seconds_max: float) -> Any: ...

    async def run_to_list(self, call: Callable[[], Any], *, seconds_max: float) -> list[Any]:
        """The same for a call that gives a cursor, read to its end."""


OVERDUE_S_MAX = 0.5
"""How much longer than its bound a call is waited for: PyMongo's own error says more than a deadline's."""


class AwaitedExecution:
    """For PyMongo's `AsyncMongoClient` and Motor's `AsyncIOMotorClient`.

    PyMongo's bound does not reach a TLS handshake under way: a server that accepts and then says
    nothing would hold the call for asyncio's own minute. The runtime's deadline does.
    """

    def __init__(self, *, runtime: Runtime) -> None:
        self._runtime = runtime

    async def run(self, call: Callable[[], Any], *, seconds_max: float) -> Any:
        async with self._runtime.deadline(seconds_max + OVERDUE_S_MAX):
            with pymongo.timeout(seconds_max):
                result = call()
                return await result if inspect.isawaitable(result) else result

    async def run_to_list(self, call: Callable[[], Any], *, seconds_max: float) -> list[Any]:
        async with self._runtime.deadline(seconds_max + OVERDUE_S_MAX):
            return await self._to_list(call, seconds_max)

    async def _to_list(self, call: Callable[[], Any], seconds_max: float) -> list[Any]:
        with pymongo.timeout(seconds_max):
            cursor = call()
            if inspect.isawaitable(cursor):
                cursor = await cursor
            documents: list[Any] = await cursor.to_list(None)
            return documents


class ThreadedExecution:
    """For PyMongo's synchronous `MongoClient`, on any runtime.

    The bound is set inside the thread: a cancelled caller waits for the driver to give up.
    """

    def __init__(self, *, runtime: Runtime) -> None:
        self._runtime = runtime

    async def run(self, call: Callable[[], Any], *, seconds_max: float) -> Any:
        return await self._runtime.run_in_thread(_bounded, call, seconds_max)

    async def run_to_list(self, call: Callable[[], Any], *, seconds_max: float) -> list[Any]:
        documents: list[Any] = await self._runtime.run_in_thread(_bounded_list, call, seconds_max)
        return documents


def _bounded(call: Callable[[], Any], seconds_max: float) -> Any:
    with pymongo.timeout(seconds_max):
        return call()


def _bounded_list(call: Callable[[], Any], seconds_max: float) -> Any:
    with pymongo.timeout(seconds_max):
        return call().to_list(None)
