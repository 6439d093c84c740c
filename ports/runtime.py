"""Concurrency as the application sees it: no event loop, only these few words.

The same use cases run on asyncio, uvloop, trio and on a simulated runtime with virtual time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar, TypeVarTuple

Result = TypeVar("Result")
Item = TypeVar("Item")
ItemIn = TypeVar("ItemIn", contravariant=True)
ResultOut = TypeVar("ResultOut", covariant=True)
Arguments = TypeVarTuple("Arguments")


class DeadlineExceeded(Exception):
    """The work under `Runtime.deadline` took longer than it was given; it was cancelled."""


class Overloaded(Exception):
    """A bounded queue is full: the work was not taken, nothing happened, try again later."""


class TaskCancelled(Exception):
    """The task that was waited for ended by cancellation; the waiter itself was not cancelled."""


class Event(Protocol):
    """A flag that tasks wait for. Once set it stays set."""

    def set(self) -> None:
        """Wakes all that wait, now and later."""

    def is_set(self) -> bool:
        """Whether it was set."""

    async def wait(self) -> None:
        """Returns once it is set."""


class Lock(Protocol):
    """Mutual exclusion between tasks of one runtime, first come first served."""

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *exc_info: object) -> None: ...


class Task(Protocol[ResultOut]):
    """A supervised task: it belongs to the runtime, not to whoever started it."""

    def cancel(self) -> None:
        """Ask it to stop at its next await; a task that has ended ignores this."""

    async def wait(self) -> ResultOut:
        """Its result, or its exception raised anew. A cancelled waiter leaves the task running."""


class Batcher(Protocol[ItemIn, ResultOut]):
    """Group commit: items that arrive while one flush is under way go together in the next.

    Nobody waits for a timer: a lone item is flushed at once.
    """

    async def submit(self, item: ItemIn) -> ResultOut:
        """The flush's result for this item.

        Raises `Overloaded` when too many wait already, and what the flush raised for its batch.
        A caller cancelled while waiting does not withdraw its item: it may have been committed.
        """

    async def submit_many(self, items: Sequence[ItemIn]) -> Sequence[ResultOut]:
        """The same for several items at once, in order; they may be cut into several flushes."""


class Runtime(Protocol):
    """What a process may ask of its event loop."""

    @property
    def name(self) -> str:
        """`asyncio`, `uvloop`, `trio` or `simulated`."""

    def running(self) -> AbstractAsyncContextManager[None]:
        """Opens the home of supervised tasks; leaving it cancels what still runs and waits for it."""

    def monotonic(self) -> float:
        """Seconds of a clock that never runs back; only differences mean anything."""

    async def sleep(self, seconds: float) -> None:
        """Returns after so many seconds."""

    def deadline(self, seconds: float) -> AbstractAsyncContextManager[None]:
        """Cancels the block after so many seconds and raises `DeadlineExceeded` from it."""

    def event(self) -> Event:
        """A new event, not set."""

    def lock(self) -> Lock:
        """A new lock; it is taken by `async with`, in the order of arrival."""

    def start(self, function: Callable[[], Awaitable[Result]], *, name: str) -> Task[Result]:
        """Starts a supervised task. One that fails unwaited for is reported, and harms no other."""

    async def shielded(self, function: Callable[[], Awaitable[Result]], *, name: str) -> Result:
        """Runs it to its end even when the caller is cancelled: a commit or a void must go out."""

    async def run_in_thread(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """Runs blocking work off the event loop, in at most `threads_max` threads at once.

        The function must bound its own time: a cancelled caller still waits for it to return.
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
        """One flush at a time, of at most `items_max` items weighing at most `weight_max` together.

        At most `waiting_max` items wait; one more raises `Overloaded`. `flush` gives one result an
        item, in order, and runs as a supervised task, so no caller's cancellation reaches it. An item
        heavier than `weight_max` goes alone.
        """
