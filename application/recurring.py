"""Work that repeats while the service runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

from ports.runtime import Runtime, Task, TaskCancelled


class Recurring:
    """One supervised task that repeats a piece of work between `start` and `stop`.

    `work` returns the seconds to pause after it. An exception that it raises is logged and ends the
    repetition, so it catches those that must not.
    """

    def __init__(self, runtime: Runtime, work: Callable[[], Awaitable[float]], *, name: str) -> None:
        self._runtime = runtime
        self._work = work
        self._name = name
        self._task: Task[None] | None = None

    def start(self) -> None:
        """Starts the task, unless it runs already."""
        if self._task is None:
            self._task = self._runtime.start(self._run, name=self._name)

    async def stop(self) -> None:
        """Cancels the task, and returns once it has ended, so that its dependencies may stop."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(TaskCancelled):
                await task.wait()

    async def _run(self) -> None:
        while True:
            await self._runtime.sleep(await self._work())
