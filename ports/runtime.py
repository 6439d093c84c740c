"""Concurrency for the application, without an event loop.

The same use cases run on asyncio, uvloop, trio and on a simulated runtime with virtual time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol, TypeVar, TypeVarTuple

from ports.errors import DependencyUnavailable

Result = TypeVar("Result")
Item = TypeVar("Item")
ItemIn = TypeVar("ItemIn", contravariant=True)
ResultOut = TypeVar("ResultOut", covariant=True)
Arguments = TypeVarTuple("Arguments")


class DeadlineExceeded(Exception):
    """The block under `Runtime.deadline` exceeded its time and was cancelled."""


class Overloaded(Exception):
    """A bounded queue is full: the work was not accepted and nothing happened. A later try may succeed."""


class TaskCancelled(Exception):
    """The awaited task was cancelled; its waiter was not."""


UNAVAILABLE: Final = (DependencyUnavailable, DeadlineExceeded, Overloaded)
"""What a call raises that a dependency cannot serve now."""


class Event(Protocol):
    """A flag that tasks wait for. Once set, it stays set."""

    def set(self) -> None:
        """Wakes every waiter, present and future."""

    def is_set(self) -> bool:
        """Whether it was set."""

    async def wait(self) -> None:
        """Returns once it is set."""


class Lock(Protocol):
    """Mutual exclusion between the tasks of one runtime, in the order of arrival."""

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *exc_info: object) -> None: ...


class Task(Protocol[ResultOut]):
    """A supervised task, which belongs to the runtime and not to its starter."""

    def cancel(self) -> None:
        """Asks the task to stop at its next await. Does nothing to a task that has ended."""

    async def wait(self) -> ResultOut:
        """The result of the task; raises its exception, or `TaskCancelled`.

        A cancelled waiter leaves the task running.
        """


class Batcher(Protocol[ItemIn, ResultOut]):
    """Group commit: the items that arrive during one flush go together into the next.

    No item waits for a timer: a lone item is flushed at once.
    """

    async def submit(self, item: ItemIn) -> ResultOut:
        """The result of the flush for this item.

        Raises `Overloaded` when the queue is full, or the exception of the flush. A caller that is cancelled
        does not withdraw its item, which may be committed.
        """

    async def submit_many(self, items: Sequence[ItemIn]) -> Sequence[ResultOut]:
        """`submit` for several items, with their results in order. Several flushes may share them."""


class Runtime(Protocol):
    """The event loop of a process, as far as the application uses it."""

    @property
    def name(self) -> str:
        """`asyncio`, `uvloop`, `trio` or `simulated`."""

    def running(self) -> AbstractAsyncContextManager[None]:
        """Runs supervised tasks within the block; its end cancels those that still run, and awaits them."""

    def monotonic(self) -> float:
        """Seconds of a clock that never goes back. Only differences have a meaning."""

    async def sleep(self, seconds: float) -> None:
        """Returns after this many seconds."""

    def deadline(self, seconds: float) -> AbstractAsyncContextManager[None]:
        """Cancels the block after this many seconds and raises `DeadlineExceeded` from it."""

    def event(self) -> Event:
        """A new event, not set."""

    def lock(self) -> Lock:
        """A new lock, which `async with` acquires."""

    def start(self, function: Callable[[], Awaitable[Result]], *, name: str) -> Task[Result]:
        """Starts a supervised task. The failure of a task without a waiter is logged, and harms no other."""

    async def shielded(self, function: Callable[[], Awaitable[Result]], *, name: str) -> Result:
        """Runs the function to its end even when the caller is cancelled, as a commit has to. Its result."""

    async def run_in_thread(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """Runs a blocking function in one of a bounded number of threads. Its result.

        The function bounds its own time: a cancelled caller still waits for its return.
        """

    def batcher(
        self,
        flush: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        items_max: int,
        waiting_max: int,
        weigh: Callable[[Item], int] | None = None,
        weight_max: int = 0,
    ) -> Batcher[Item, Result]:
        """A batcher that runs one flush at a time, of at most `items_max` items and `weight_max` in weight.

        At most `waiting_max` items wait; one more raises `Overloaded`. `flush` returns one result an item, in
        order, and runs as a supervised task, out of reach of a caller's cancellation. An item heavier than
        `weight_max` goes alone.
        """
