"""Reloads a rotated ring of keys while the service runs."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from application.recurring import Recurring
from composition.config.secrets import SecretFile, read_secret
from domain.encryption.keyring import Ring
from ports.identity.token_keys import TokenKeys
from ports.metrics import Metric, MetricKind, Metrics
from ports.runtime import Runtime

RELOAD_INTERVAL_S = 10.0
RELOAD_INTERVAL_S_MIN = 0.05
"""Forged tokens cause reloads, too, but no more often than this."""

RELOADS = Metric(
    "credit_secret_reload_total",
    MetricKind.COUNTER,
    "Rings of keys taken in while running, or refused since the file was not good",
    ("outcome",),
)
_log = logging.getLogger("credit.secrets")


class RingFile:
    """The ring in a secret file, read again when the file has changed.

    A reload costs one `stat` on the event loop, and a read of at most 4 KiB after a rotation.
    """

    def __init__(
        self,
        file: SecretFile,
        path: Path,
        ring: Ring,
        *,
        parse: Callable[[str], Ring],
        runtime: Runtime,
        metrics: Metrics,
    ) -> None:
        """`ring` is the one read at the start, after which the file may have changed: it is read again.

        `parse` raises `ValueError` for a text that this process cannot go on with.
        """
        self._file = file
        self._path = path
        self._parse = parse
        self._ring = ring
        self._runtime = runtime
        self._reloads = metrics.register(RELOADS)
        self._seen: tuple[int, ...] | str | None = None
        self._reloaded_s: float | None = None

    def reload(self) -> Ring | None:
        """The ring, if it has changed. A bad file changes nothing and is reported once."""
        now_s = self._runtime.monotonic()
        if self._reloaded_s is not None and now_s - self._reloaded_s < RELOAD_INTERVAL_S_MIN:
            return None
        self._reloaded_s = now_s
        seen = self._identity()
        if seen == self._seen:
            return None
        self._seen = seen
        try:
            ring = self._parse(read_secret(self._file, self._path))
        except ValueError as error:
            self._reloads.add(1, "failed")
            _log.warning("the ring of keys in use stays: %s: %s", self._file.name, error)
            return None
        if ring == self._ring:
            return None
        self._ring = ring
        self._reloads.add(1, "loaded")
        _log.info("a ring of keys was taken in", extra={"file": str(self._path), "keys": len(ring)})
        return ring

    def _identity(self) -> tuple[int, ...] | str:
        try:
            status = self._path.stat()
        except OSError as error:
            return str(error.strerror)
        return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


class RingWatch:
    """Reloads without a request, so that a ring is known well before its newest key writes."""

    def __init__(
        self, keys: TokenKeys, *, reload_fields: Callable[[], Awaitable[bool]], runtime: Runtime
    ) -> None:
        self._keys = keys
        self._reload_fields = reload_fields
        self._watching = Recurring(runtime, self._reload, name="watch-keys")

    async def start(self) -> None:
        """Reloads from now on, every `RELOAD_INTERVAL_S`."""
        self._watching.start()

    async def stop(self) -> None:
        """Returns once no reload is under way."""
        await self._watching.stop()

    async def _reload(self) -> float:
        self._keys.reload()
        await self._reload_fields()
        return RELOAD_INTERVAL_S
