"""Tokens that another device than their own presents: audited, and counted against the address."""

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
from ports.identity.sessions import Sessions
from ports.metrics import Metric, MetricKind, Metrics
from ports.runtime import UNAVAILABLE, Runtime

FOREIGN_DEVICES = Metric(
    "credit_foreign_devices_total",
    MetricKind.COUNTER,
    "Good tokens shown by another device than their own",
    ("outcome",),
)
AUDIT_INTERVAL_S = 60.0
"""Between two audit events about one session and address: a stolen token can be presented all day."""
VIOLATIONS_MAX = 10
"""Violations of one session and address within the interval: more than a ban takes."""
SIGHTINGS_MAX = 10_000
"""Pairs of a session and an address that are remembered."""


class AddressLimiter(Protocol):
    async def violate_address(self, address: str) -> None:
        """Counts one violation of an address. An unavailable limiter counts none and raises nothing."""


class ForeignDevices:
    """Reports tokens by the verdict on the device that presents them
    (`domain.identity.tokens.judge_device`)."""

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
        self._sightings: OrderedDict[tuple[str, str, bool], tuple[float, int]] = OrderedDict()

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
        """Counts, audits and blames the presentation of a token; does nothing where the device is fine.

        A refusal counts as a violation of the address of `context`, unless that is `exempt` or the request
        names no device, as every client does whose cookie does not travel.
        """
        if verdict is DeviceVerdict.FINE:
            return
        self._foreign.add(1, verdict.value)
        is_named = names_device(device_id)
        times = self._times(session_id, context.address, is_named)
        if times == 1:
            await self._audit(verdict, user_id, session_id, is_named, context)
        is_blamed = verdict is DeviceVerdict.REFUSED and is_named and not exempt
        if is_blamed and context.address and times <= VIOLATIONS_MAX:
            await self._limiter.violate_address(context.address)

    async def report_token(
        self,
        verdict: DeviceVerdict,
        principal: Principal,
        device_id: str | None,
        context: RequestContext,
        *,
        exempt: bool = False,
    ) -> None:
        """`report` for an access token, whose `principal` names user and session."""
        await self.report(
            verdict,
            user_id=principal.id,
            session_id=principal.session_id or "",
            device_id=device_id,
            context=context,
            exempt=exempt,
        )

    async def _audit(
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
        self._trail.enqueue(event)

    async def _signals(self, session_id: str, context: RequestContext) -> Mapping[str, str]:
        try:
            session = await self._sessions.get(session_id)
        except UNAVAILABLE:
            # The event matters more than its details.
            return {}
        if session is None or not context.address:
            return {}
        return signals(session, address=context.address, user_agent=context.user_agent)

    def _times(self, session_id: str, address: str, is_named: bool) -> int:
        """How often the pair was seen within the interval, this time included."""
        now_s, key = self._runtime.monotonic(), (session_id, address, is_named)
        began_s, times = self._sightings.pop(key, (now_s, 0))
        if now_s - began_s >= AUDIT_INTERVAL_S:
            began_s, times = now_s, 0
        self._sightings[key] = (began_s, times + 1)
        if len(self._sightings) > SIGHTINGS_MAX:
            self._sightings.popitem(last=False)
        return times + 1
