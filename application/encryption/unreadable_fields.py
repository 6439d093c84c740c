"""Stored values that do not open: counted, logged, and told of in the audit log."""

from __future__ import annotations

import logging

from application.audit.trail import AuditTrail
from domain.audit import SYSTEM, AuditAction, RequestContext, audit_event
from domain.encryption.envelope import FieldPlace
from domain.encryption.policies import FieldPolicy
from domain.ids import RANDOMNESS_BYTES
from ports.clock import Clock
from ports.encryption.field_cipher import FieldCipher, UnreadableField
from ports.entropy import Entropy
from ports.metrics import Metric, MetricKind, Metrics

QUIET_MS = 60_000
"""A place is told of once in this time."""
PLACES_MAX = 100
"""Places told of in that time. Further ones are only counted."""
CONTEXT = RequestContext(request_id="field-encryption", actor=SYSTEM)

UNREADABLE = Metric(
    "credit_field_unreadable_total",
    MetricKind.COUNTER,
    "Reads of encrypted fields whose stored value does not open",
    ("collection", "field", "fault"),
)

_log = logging.getLogger(__name__)


class UnreadableFields:
    """Hears of each. Tells of places and faults, never of values."""

    def __init__(self, *, clock: Clock, entropy: Entropy, metrics: Metrics) -> None:
        self._clock = clock
        self._entropy = entropy
        self._unreadable = metrics.register(UNREADABLE)
        self._told_ms: dict[FieldPlace, int] = {}
        self._trail: AuditTrail | None = None

    def report_to(self, trail: AuditTrail) -> None:
        """Has events written from now on. The trail stands on a store, and the store on this."""
        self._trail = trail

    def note(self, error: UnreadableField) -> None:
        """Returns at once and never raises."""
        place, fault = error.place, error.fault.name.lower()
        self._unreadable.add(1, place.collection, place.field, fault)
        if not self._is_news(place):
            return
        _log.error("a stored value does not open: %s", error)
        if self._trail is not None:
            self._trail.enqueue(
                audit_event(
                    CONTEXT,
                    AuditAction.FIELD_UNREADABLE,
                    f"field:{place.collection}/{place.document_id}",
                    now_ms=self._clock.now_ms(),
                    randomness=self._entropy.token(RANDOMNESS_BYTES),
                    detail={"field": place.field, "fault": fault},
                )
            )

    def _is_news(self, place: FieldPlace) -> bool:
        now_ms = self._clock.now_ms()
        if len(self._told_ms) >= PLACES_MAX:
            self._told_ms = {
                each: told_ms for each, told_ms in self._told_ms.items() if now_ms - told_ms < QUIET_MS
            }
        told_ms = self._told_ms.get(place)
        if told_ms is not None and now_ms - told_ms < QUIET_MS:
            return False
        if told_ms is None and len(self._told_ms) >= PLACES_MAX:
            return False
        self._told_ms[place] = now_ms
        return True


class ReportedCipher:
    """`FieldCipher` over another one, whose refusals to open are noted."""

    def __init__(self, cipher: FieldCipher, unreadable: UnreadableFields) -> None:
        self._cipher = cipher
        self._unreadable = unreadable
        self.encrypt = cipher.encrypt
        self.blind_index = cipher.blind_index
        self.is_current = cipher.is_current

    @property
    def policy(self) -> FieldPolicy:
        return self._cipher.policy

    def decrypt(self, document_id: str, stored: bytes) -> str:
        try:
            return self._cipher.decrypt(document_id, stored)
        except UnreadableField as error:
            self._unreadable.note(error)
            raise


def _proof(cipher: ReportedCipher) -> FieldCipher:
    """mypy holds the class to its port here."""
    return cipher
