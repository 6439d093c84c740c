"""Pushes on their way to the bus, whose senders do not wait for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, NamedTuple

from application.backlog import Backlog
from application.outage_log import OutageLog
from domain.realtime.messages import Push
from ports.errors import DependencyUnavailable
from ports.realtime.bus import Bus
from ports.runtime import DeadlineExceeded, Runtime

PUSHES_WAITING_MAX: Final = 65_536
"""Past this the oldest groups are dropped."""
PUBLISH_S_MAX: Final = 5.0
"""How long a group may take to go out before the next one is tried."""

_log = logging.getLogger(__name__)


class PushFate(Enum):
    """What became of pushes that went together."""

    PUBLISHED = "published"
    """The bus took all of them."""
    UNPUBLISHED = "unpublished"
    """It did not take all of them; any may have arrived."""
    DROPPED = "dropped"
    """Too many waited behind them, and none was published."""


class PushGroup(NamedTuple):
    """Pushes with their topics, that go out together."""

    pushes: Sequence[tuple[str, Push]]
    ended: Callable[[PushFate], None]
    """Told once what became of them. It must not block nor raise."""


class OutgoingPushes:
    """Groups in the order in which they were added, each in one call to the bus."""

    def __init__(self, runtime: Runtime, bus: Bus) -> None:
        self._runtime = runtime
        self._bus = bus
        self._outages = OutageLog(runtime.monotonic)
        self._backlog = Backlog(
            runtime,
            self._publish,
            weigh=lambda group: len(group.pushes),
            weight_max=PUSHES_WAITING_MAX,
            dropped=lambda group: group.ended(PushFate.DROPPED),
            name="outgoing pushes",
        )

    def add(self, group: PushGroup) -> None:
        """Never waits."""
        self._backlog.add(group)

    async def stop(self) -> None:
        """Gives what waits a moment to go out."""
        await self._backlog.stop()

    async def _publish(self, group: PushGroup) -> None:
        fate = PushFate.UNPUBLISHED
        try:
            async with self._runtime.deadline(PUBLISH_S_MAX):
                await self._bus.publish_many((topic, push.encode()) for topic, push in group.pushes)
            fate = PushFate.PUBLISHED
        except (DependencyUnavailable, DeadlineExceeded) as error:
            if (unsaid := self._outages.due(None)) is not None:
                _log.warning("pushes were not published: %s", error, extra={"failed_unsaid": unsaid})
        except Exception:  # noqa: BLE001 - a push that cannot be encoded must not end those behind it
            _log.exception("pushes were not published")
        group.ended(fate)
