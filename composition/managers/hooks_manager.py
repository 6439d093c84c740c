"""Hooks: callbacks that run when something happened, in order of priority."""

from __future__ import annotations

import inspect
import logging
import time
from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, field

from application.outage_log import OutageLog
from plugins.plugin import HOOK_PRIORITY_DEFAULT, HookCallback
from ports.errors import DependencyUnavailable

CALLBACKS_MAX = 256
"""A bound for all events together: more of them is a plugin that registers in a loop."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, order=True)
class _Hook:
    priority: int
    number: int
    callback: HookCallback = field(compare=False)
    context: str | None = field(compare=False)


class HooksManager:
    """Callbacks by event. Among equal priorities the first registered runs first."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`monotonic` gives seconds."""
        self._hooks: dict[str, list[_Hook]] = {}
        self._outages = OutageLog(monotonic)
        self._count = 0

    def register(
        self,
        event: str,
        callback: HookCallback,
        priority: int = HOOK_PRIORITY_DEFAULT,
        *,
        context: str | None = None,
    ) -> None:
        """Calls back at each such event; with a context, only when it is triggered in that one."""
        if self._count >= CALLBACKS_MAX:
            raise ValueError(f"more than {CALLBACKS_MAX} hooks are registered")
        self._count += 1
        insort(self._hooks.setdefault(event, []), _Hook(priority, self._count, callback, context))

    async def trigger(self, event: str, payload: object, *, context: str | None = None) -> int:
        """Runs the callbacks one after another; gives how many failed. A failure is logged, not raised."""
        failed = 0
        for hook in tuple(self._hooks.get(event, ())):
            if hook.context is not None and hook.context != context:
                continue
            try:
                answer = hook.callback(payload)
                if inspect.isawaitable(answer):
                    await answer
            except DependencyUnavailable as error:
                failed += 1
                self._note_outage(event, hook, error)
            except Exception:  # noqa: BLE001 - a callback of another's making may raise anything
                failed += 1
                _log.exception("a hook failed", extra={"event": event, "priority": hook.priority})
        return failed

    def _note_outage(self, event: str, hook: _Hook, error: DependencyUnavailable) -> None:
        """One line without a traceback: it is the dependency that failed, and others say so at length."""
        unsaid = self._outages.due(hook.number)
        if unsaid is None:
            return
        _log.warning(
            "a hook failed: %s",
            error,
            extra={
                "event": event,
                "priority": hook.priority,
                "callback": getattr(hook.callback, "__qualname__", type(hook.callback).__name__),
                "failed_unsaid": unsaid,
            },
        )
