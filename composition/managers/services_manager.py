"""The service's singletons: registered by key, started in order, stopped in reverse."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from ports.runtime import Runtime

Kind = TypeVar("Kind")
Step = Callable[[], Awaitable[None]]

STOP_SECONDS_MAX = 10.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Service:
    key: str
    instance: object
    start: Step | None
    stop: Step | None


class ServicesManager:
    """Knows the keys and the order of services, but nothing of their work."""

    def __init__(self, *, runtime: Runtime, stop_seconds_max: float = STOP_SECONDS_MAX) -> None:
        self._runtime = runtime
        self._stop_seconds_max = stop_seconds_max
        self._services: dict[str, _Service] = {}
        self._started: list[_Service] = []

    def register(
        self, key: str, instance: object, *, start: Step | None = None, stop: Step | None = None
    ) -> None:
        """Offers a singleton. The methods `start` and `stop` await its `start` and `stop`.

        Raises `ValueError` when the key is taken.
        """
        if key in self._services:
            raise ValueError(f"a service {key!r} is registered already")
        self._services[key] = _Service(key, instance, start, stop)

    def service(self, key: str, kind: type[Kind]) -> Kind:
        """The singleton of a key. Raises `LookupError` when there is none, `TypeError` for another type."""
        service = self._services.get(key)
        if service is None:
            raise LookupError(f"no service {key!r}; there are {', '.join(sorted(self._services)) or 'none'}")
        if not isinstance(service.instance, kind):
            raise TypeError(
                f"the service {key!r} is a {type(service.instance).__name__}, not a {kind.__name__}"
            )
        return service.instance

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys in the order of registration."""
        return tuple(self._services)

    async def start(self) -> None:
        """Starts every service, in the order of registration. A failure stops those that were started."""
        try:
            for service in self._services.values():
                # Counted before its start, which may fail half-way and leave something to stop.
                self._started.append(service)
                if service.start is not None:
                    await service.start()
        except BaseException:
            await self._runtime.shielded(self.stop, name="services-stop")
            raise

    async def stop(self) -> None:
        """Stops the started services, in reverse. Logs one that fails or hangs, and goes on."""
        while self._started:
            service = self._started.pop()
            if service.stop is None:
                continue
            try:
                async with self._runtime.deadline(self._stop_seconds_max):
                    await service.stop()
            except Exception:  # noqa: BLE001 - the failure of one service must not stop the others
                _log.exception("a service did not stop", extra={"service": service.key})
