"""Tokens that come from another device than their own: written down, and held against the address."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Protocol

from application.audit.trail import AuditTrail
from domain.audit import AuditAction, RequestContext, audit_event
from domain.identity.access import Principal
from domain.identity.sessions import names_device, signals
from domain.identity.tokens import DeviceVerdict
from domain.ids import RANDOMNESS_BYTES
from ports.clock import Clock
from ports.entropy import Entropy
from ports.errors import DependencyUnavailable
from ports.identity.sessions import Sessions
from ports.metrics import Metric, MetricKind, Metrics
from ports.runtime import DeadlineExceeded, Overloaded, Runtime

FOREIGN_DEVICES = Metric(
    "credit_foreign_devices_total",
    MetricKind.COUNTER,
    "Good tokens shown by another device than their own",
    ("outcome",),
)
NOTE_INTERVAL_S = 60.0
"""One session from one address is written down at most so often: who has one token can show it all day."""
BLAMES_MAX = 10
"""Of one session and address within the interval: more than it takes to be banned."""
KNOWN_MAX = 10_000

_AWAY = (DependencyUnavailable, Overloaded, DeadlineExceeded)


class AddressLimiter(Protocol):
    async def violate_address(self, address: str) -> None:
        """Counts a violation; never raises for a limiter that is away."""


class ForeignDevices:
    def __init__(
        self,
        *,
        trail: AuditTrail,
        limiter: AddressLimiter,
        sessions: Sessions,
        runtime: Runtime,
        clock: Clock,
        entropy: Entropy,
        metrics: Metrics,
    ) -> None:
        self._trail = trail
        self._limiter = limiter
        self._sessions = sessions
        self._runtime = runtime
        self._clock = clock
        self._entropy = entropy
        self._foreign = metrics.register(FOREIGN_DEVICES)
        self._known: OrderedDict[tuple[str, str, bool], tuple[float, int]] = OrderedDict()

    async def report(
        self,
        verdict: DeviceVerdict,
        *,
        user_id: str,
        session_id: str,
        device_id: str | None,
        context: RequestContext,
        exempt: bool = False,
    ) -> None:
        """Nothing to do for a device that is fine. Who is refused has violated the rules of their address,
        unless that is exempt from them, or they named no device at all: so does every client whose cookie
        does not travel."""
        if verdict is DeviceVerdict.FINE:
            return
        self._foreign.add(1, verdict.value)
        is_named = names_device(device_id)
        times = self._times(session_id, context.address, is_named)
        if times == 1:
            await self._write(verdict, user_id, session_id, is_named, context)
        is_blamed = verdict is DeviceVerdict.REFUSED and is_named and not exempt
        if is_blamed and context.address and times <= BLAMES_MAX:
            await self._limiter.violate_address(context.address)

    async def report_token(
        self,
        verdict: DeviceVerdict,
        shown_by: Principal,
        device_id: str | None,
        context: RequestContext,
        *,
        exempt: bool = False,
    ) -> None:
        """The same of an access token, which tells whose it is."""
        await self.report(
            verdict,
            user_id=shown_by.id,
            session_id=shown_by.session_id or "",
            device_id=device_id,
            context=context,
            exempt=exempt,
        )

    async def _write(
        self,
        verdict: DeviceVerdict,
        user_id: str,
        session_id: str,
        is_named: bool,
        context: RequestContext,
    ) -> None:
        device = "other" if is_named else "none"
        event = audit_event(
            context,
            AuditAction.FOREIGN_DEVICE,
            f"session:{session_id}",
            now_ms=self._clock.now_ms(),
            randomness=self._entropy.token(RANDOMNESS_BYTES),
            actor=f"user:{user_id}",
            detail={
                "outcome": verdict.value,
                "device": device,
                **await self._signals(session_id, context),
            },
        )
        self._trail.note(event)

    async def _signals(self, session_id: str, context: RequestContext) -> Mapping[str, str]:
        try:
            session = await self._sessions.get(session_id)
        except _AWAY:
            # The event is worth more than its details.
            return {}
        if session is None or not context.address:
            return {}
        return signals(session, address=context.address, user_agent=context.user_agent)

    def _times(self, session_id: str, address: str, is_named: bool) -> int:
        """How often within the interval, this time included."""
        now_s, key = self._runtime.monotonic(), (session_id, address, is_named)
        began_s, times = self._known.pop(key, (now_s, 0))
        if now_s - began_s >= NOTE_INTERVAL_S:
            began_s, times = now_s, 0
        self._known[key] = (began_s, times + 1)
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        return times + 1
