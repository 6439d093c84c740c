"""Encrypts stored values anew: what stands in the clear, and what another key than the writing one wrote."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence

from application.recurring import Recurring
from ports.encryption.encrypted_collection import EncryptedCollection
from ports.errors import DependencyUnavailable
from ports.metrics import Merge, Metric, MetricKind, Metrics
from ports.runtime import Runtime

BATCH_DOCUMENTS = 200
PAUSE_S_MIN = 0.05
SHARE = 5
"""At most every so-manieth moment of a pass is a batch under way; the rest are pauses."""
LOOK_S = 10.0
"""Between looks at whether another key writes."""
PASS_S = 3_600.0
"""Between passes under one key: a host whose clock is late may have written with the former one."""
PASS_AFTER_FAILURE_S = 300.0
TRIES_MAX = 6
"""Failures in a row, after which a pass leaves a collection."""

REENCRYPTED = Metric(
    "credit_field_reencrypted_total",
    MetricKind.COUNTER,
    "Stored values that were encrypted anew under the writing key",
    ("collection", "field"),
)
REMAINING = Metric(
    "credit_field_sweep_remaining",
    MetricKind.GAUGE,
    "Documents that may hold values in the clear or of another key: not looked at yet, or refused",
    ("collection",),
    merge=Merge.MOST,
)

_log = logging.getLogger(__name__)


class FieldSweep:
    """One supervised task between `start` and `stop`, in each worker: they do no harm to each other.

    A pass looks at every document once. One that is cut off begins anew, and finds less to do.
    """

    def __init__(
        self,
        *,
        collections: Callable[[], Sequence[EncryptedCollection]],
        writing_id: Callable[[], bytes],
        runtime: Runtime,
        metrics: Metrics,
        delay_s: float,
    ) -> None:
        """`writing_id` names the key that writes now. The first pass begins `delay_s` after the start."""
        self._collections = collections
        self._writing_id = writing_id
        self._runtime = runtime
        self._reencrypted = metrics.register(REENCRYPTED)
        self._remaining = metrics.register(REMAINING)
        self._sweeping = Recurring(runtime, self._work, name="field-sweep")
        self._waiting: deque[EncryptedCollection] = deque()
        self._current: _Progress | None = None
        self._under: bytes | None = None
        self._delay_s = delay_s
        self._begin_s = self._next_pass_s = 0.0
        self._rewritten = 0
        self._left = 0

    async def start(self) -> None:
        """Goes through the collections from now on, once the delay is over."""
        self._begin_s = self._runtime.monotonic() + self._delay_s
        self._sweeping.start()

    async def stop(self) -> None:
        """Returns once no batch is under way."""
        await self._sweeping.stop()

    async def _work(self) -> float:
        if (early_s := self._begin_s - self._runtime.monotonic()) > 0:
            return early_s
        progress = self._current
        if progress is None:
            if not self._waiting and not self._begin_pass():
                return LOOK_S
            progress = self._current = _Progress(self._waiting.popleft())
        started_s = self._runtime.monotonic()
        try:
            await self._sweep_batch(progress)
        except DependencyUnavailable as error:
            self._note_failure(progress, error)
            return LOOK_S
        progress.failures = 0
        return max(PAUSE_S_MIN, (self._runtime.monotonic() - started_s) * (SHARE - 1))

    def _begin_pass(self) -> bool:
        """False when there is nothing to do now."""
        now_s, writing_id = self._runtime.monotonic(), self._writing_id()
        if writing_id == self._under and now_s < self._next_pass_s:
            return False
        self._under, self._next_pass_s = writing_id, now_s + PASS_S
        self._waiting.extend(self._collections())
        self._rewritten = self._left = 0
        return bool(self._waiting)

    def _note_failure(self, progress: _Progress, error: DependencyUnavailable) -> None:
        """A collection that stays out of reach is left to the next pass, which then comes sooner."""
        progress.failures += 1
        if progress.failures == 1:
            _log.warning("%s is not encrypted anew for now: %s", progress.collection.name, error)
        if progress.failures < TRIES_MAX:
            return
        self._left += 1
        self._next_pass_s = self._runtime.monotonic() + PASS_AFTER_FAILURE_S
        self._end_collection()

    async def _sweep_batch(self, progress: _Progress) -> None:
        name = progress.collection.name
        if progress.count is None:
            progress.count = await progress.collection.count()
            self._remaining.set(progress.count, name)
        batch = await progress.collection.sweep(progress.after_id, limit=BATCH_DOCUMENTS)
        for field, values in batch.rewritten.items():
            self._reencrypted.add(values, name, field)
            self._rewritten += values
        progress.seen += batch.seen
        progress.left += batch.left
        if batch.last_id is not None:
            progress.after_id = batch.last_id
            self._remaining.set(max(progress.count - progress.seen, 0) + progress.left, name)
            return
        self._remaining.set(progress.left, name)
        self._left += progress.left
        self._end_collection()

    def _end_collection(self) -> None:
        self._current = None
        if self._waiting:
            return
        if self._left:
            _log.error(
                "%d stored values were encrypted anew; others could not be: see above", self._rewritten
            )
        elif self._rewritten:
            _log.info("%d stored values were encrypted anew: the writing key wrote all", self._rewritten)


class _Progress:
    """Of one collection in one pass."""

    def __init__(self, collection: EncryptedCollection) -> None:
        self.collection = collection
        self.count: int | None = None
        self.after_id = ""
        self.failures = 0
        self.seen = 0
        self.left = 0
