"""What is done again and again while the service runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

from ports.runtime import Runtime, Task, TaskCancelled


class Recurring:
    """One supervised task that goes round from `start` to `stop`.

    A round gives the seconds to pause after it. What it raises ends the task and is reported, so it catches
    whatever must not end those that follow.
    """

    def __init__(self, runtime: Runtime, go_round: Callable[[], Awaitable[float]], *, name: str) -> None:
        self._runtime = runtime
        self._go_round = go_round
        self._name = name
        self._task: Task[None] | None = None

    def start(self) -> None:
        """A second start does nothing."""
        if self._task is None:
            self._task = self._runtime.start(self._run, name=self._name)

    async def stop(self) -> None:
        """Returns when no round is under way: what it asks is stopped next."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(TaskCancelled):
                await task.wait()

    async def _run(self) -> None:
        while True:
            await self._runtime.sleep(await self._go_round())
