"""A bound on how many do something at once, and on how many wait for it."""

from __future__ import annotations

from collections import deque

from ports.runtime import Event, Overloaded, Runtime


class Turnstile:
    """`async with` it: at most `inside_max` are inside, at most `waiting_max` wait, first come first
    served. One more raises `Overloaded`."""

    def __init__(self, *, runtime: Runtime, inside_max: int, waiting_max: int) -> None:
        self._runtime = runtime
        self._inside_max = inside_max
        self._waiting_max = waiting_max
        self._inside = 0
        self._waiting: deque[Event] = deque()

    async def __aenter__(self) -> None:
        if self._inside < self._inside_max:
            self._inside += 1
            return
        if len(self._waiting) >= self._waiting_max:
            raise Overloaded("too many wait")
        turn = self._runtime.event()
        self._waiting.append(turn)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():
                # Cancelled just as the place was handed over: it goes to the next.
                self._leave()
            else:
                self._waiting.remove(turn)
            raise

    async def __aexit__(self, *exc_info: object) -> None:
        self._leave()

    def _leave(self) -> None:
        """Hands the place to the one that has waited longest, so that no newcomer slips in between."""
        if self._waiting:
            self._waiting.popleft().set()
        else:
            self._inside -= 1
