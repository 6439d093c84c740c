"""Charges requests to identifiers, and decides without the shared limiter while that is unavailable."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from application.audit.trail import AuditTrail
from application.identity.revocation_watch import RecentlyRevoked
from application.identity.revocations import REVOCATION_MS
from application.limits.denials import Denials
from application.limits.error_frequency import ErrorFrequency
from application.limits.refusal_log import RefusalLog
from application.outage_log import OutageLog
from domain.audit import SYSTEM, AuditAction, RequestContext, audit_event
from domain.identity.sessions import SessionState
from domain.ids import RANDOMNESS_BYTES
from domain.limits.admission import Admission, Charge, Verdict, identifiers_of, refused_by
from domain.limits.bans import JITTER_BYTES, automatic_reason, jitter_from
from domain.limits.identifiers import Identifier, IdentifierType
from domain.limits.windows import Policy
from ports.clock import Clock
from ports.entropy import Entropy
from ports.errors import DependencyUnavailable
from ports.identity.api_keys import ApiKeys
from ports.identity.sessions import SessionRevocations, Sessions
from ports.limits.limiter import Limiter
from ports.metrics import Metric, MetricKind, Metrics
from ports.runtime import UNAVAILABLE, Runtime, Task

RESTORED_MAX = 10_000
RESTORE_INTERVAL_S_MIN = 5.0
"""Between two restorations of revocations, of up to `RESTORED_MAX` each."""

DECISIONS = Metric(
    "credit_ratelimit_decisions_total",
    MetricKind.COUNTER,
    "Decisions of the rate limiter, by who was counted and the outcome",
    ("type", "outcome"),
)
BANS = Metric("credit_bans_total", MetricKind.COUNTER, "Bans imposed", ("type",))

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LimitPolicies:
    """The policies in force."""

    ip: Policy
    user: Policy
    api_key: Policy
    errors: Policy
    """Counts the failed requests of an address; each one over the limit is a violation."""
    messages: Policy
    """Counts the WebSocket messages of a user over all connections."""
    named: Mapping[str, Policy] = field(default_factory=dict)
    """Policies of routes, beside those of the caller: `login`, `register`, …"""

    def of(self, kind: IdentifierType) -> tuple[Policy, ...]:
        """The policies by which an identifier of this type may be counted."""
        match kind:
            case IdentifierType.IP:
                return (self.ip, self.errors, *self.named.values())
            case IdentifierType.USER:
                return (self.user, self.messages)
            case IdentifierType.API_KEY:
                return (self.api_key,)
            case IdentifierType.ACCOUNT_NAME:
                return tuple(self.named.values())


class RateLimiter:
    """Admits or refuses requests by rate limits, bans and revocations.

    Each request costs one call of the limiter, and none for a ban that this process remembers (`Denials`).
    """

    def __init__(
        self,
        *,
        limiter: Limiter,
        fallback: Limiter,
        policies: LimitPolicies,
        sessions: Sessions,
        api_keys: ApiKeys,
        runtime: Runtime,
        clock: Clock,
        entropy: Entropy,
        metrics: Metrics,
        trail: AuditTrail,
        revoked: RecentlyRevoked,
        revocations: SessionRevocations,
    ) -> None:
        """`fallback` is a bounded local limiter for the time in which `limiter` is unavailable.

        `revocations` publishes to the same limiter with a longer timeout. `revoked` holds the revocations
        that this process read from the stores.
        """
        self._limiter = limiter
        self._fallback = fallback
        self._policies = policies
        self._sessions = sessions
        self._api_keys = api_keys
        self._runtime = runtime
        self._clock = clock
        self._entropy = entropy
        self._decisions = metrics.register(DECISIONS)
        self._bans = metrics.register(BANS)
        self._trail = trail
        self._revoked = revoked
        self._revocations = revocations
        self._denials = Denials(runtime)
        self._refusals = RefusalLog(runtime)
        self._errors = ErrorFrequency(runtime=runtime, charge=self._charge_errors)
        self._outages = OutageLog(runtime.monotonic)
        self._restoring: Task[None] | None = None
        self._restored_s: float | None = None
        # Outages in which the limiter may have missed revocations, and those among them that were made good.
        # Counts and no flag, since one may occur while others are made good.
        self._missed = 0
        self._made_good = 0

    async def admit(
        self,
        *,
        address: str | None,
        user_id: str | None = None,
        api_key_id: str | None = None,
        session_id: str | None = None,
        policies: Sequence[str] = (),
        fail_closed: bool = False,
    ) -> Admission:
        """Decides one request by its verified identifiers.

        Without an `address` the request is exempt: it is not counted, and only its session or key is checked.
        `policies` name policies of the route, which count the address. Raises `DependencyUnavailable` when
        the limiter is unavailable and `fail_closed` is set, or when neither limiter nor store can tell
        whether the session or key is revoked.
        """
        charges = [] if address is None else self._charges(address, user_id, api_key_id, policies)
        return await self._decide(
            charges,
            address=address or "",
            user_session_id=session_id,
            api_key_id=api_key_id,
            fail_closed=fail_closed,
        )

    async def admit_account_name(self, policy: str, name: str) -> Admission:
        """Counts an attempt on an account name, as typed, by a policy. Never bans.

        Admits everything under an unknown policy. Raises `DependencyUnavailable` when the limiter is
        unavailable.
        """
        chosen = self._policies.named.get(policy)
        if chosen is None:
            return Admission(Verdict.ALLOWED)
        charge = Charge(Identifier(IdentifierType.ACCOUNT_NAME, name), chosen)
        return await self._decide([charge], fail_closed=True)

    async def admit_messages(self, user_id: str, count: int) -> Admission:
        """Counts `count` WebSocket messages of a user, all or none of them."""
        charge = Charge(Identifier(IdentifierType.USER, user_id), self._policies.messages, count)
        return await self._decide([charge], fail_closed=False)

    async def violate_address(self, address: str) -> None:
        """Counts a violation of an address. An unavailable limiter counts none, and nothing is raised."""
        identifier = Identifier(IdentifierType.IP, address)
        try:
            ban = await self._limiter.violate(identifier, jitter=self._jitter())
        except UNAVAILABLE as error:
            self._record_outage(error)
            return
        if ban is not None:
            self._bans.add(2 if ban.escalated else 1, identifier.type.value)
            self._audit_ban(identifier, ban.until_ms - self._clock.now_ms(), address, escalated=ban.escalated)

    def count_error(self, address: str) -> None:
        """Has a failed request of an address counted. Returns at once and never raises."""
        self._errors.count(address)

    def knows(self, policy: str) -> bool:
        """Whether there is a named policy of this name."""
        return policy in self._policies.named

    def charges_of(self, identifier: Identifier) -> list[Charge]:
        """A charge for every window that counts identifiers of this type."""
        return [Charge(identifier, policy) for policy in self._policies.of(identifier.type)]

    async def lift_locally(self, identifier: Identifier) -> None:
        """Forgets the bans that this process alone knows, after a ban was lifted in the limiter."""
        self._denials.forget()
        await self._fallback.lift(identifier)

    async def _charge_errors(self, address: str, count: int) -> None:
        policy = self._policies.errors
        identifier = Identifier(IdentifierType.IP, address)
        charge = Charge(identifier, policy, min(count, policy.limit))
        asked = self._denials.now()
        try:
            admission, _ = await self._ask([charge], None, fail_closed=False)
        except UNAVAILABLE as error:
            self._record_outage(error)
            return
        self._denials.remember((identifier,), admission, asked)
        if admission.newly_banned:
            self._bans.add(2 if admission.escalated else 1, identifier.type.value)
            self._audit_ban(identifier, admission.retry_after_ms, address, escalated=admission.escalated)

    def _charges(
        self, address: str, user_id: str | None, api_key_id: str | None, policies: Sequence[str]
    ) -> list[Charge]:
        """In the order of blame: a verified caller before an address that others may share."""
        charges = []
        ip = Identifier(IdentifierType.IP, address)
        if api_key_id is not None:
            charges.append(Charge(Identifier(IdentifierType.API_KEY, api_key_id), self._policies.api_key))
        else:
            if user_id is not None:
                charges.append(Charge(Identifier(IdentifierType.USER, user_id), self._policies.user))
            charges.append(Charge(ip, self._policies.ip))
        charges.extend(Charge(ip, self._policies.named[name]) for name in policies)
        return charges

    async def _decide(
        self,
        charges: list[Charge],
        *,
        address: str = "",
        user_session_id: str | None = None,
        api_key_id: str | None = None,
        fail_closed: bool,
    ) -> Admission:
        # The limiter knows a revoked key by its id, as it knows a session.
        session_id = user_session_id or api_key_id
        if not charges and session_id is None:
            return Admission(Verdict.ALLOWED)
        identifiers = identifiers_of(charges)
        denied = self._denials.find(identifiers)
        if denied is not None:
            self._count(charges, denied, denied.verdict.value)
            return denied
        asked = self._denials.now()
        admission, outcome = await self._ask(charges, session_id, fail_closed)
        if admission.verdict is not Verdict.BANNED and (
            session_id in self._revoked
            or (
                admission.verdict is Verdict.ALLOWED
                and not (admission.revocations_known and self._revoked.is_complete)
                and not await self._is_active(user_session_id, api_key_id)
            )
        ):
            admission, outcome = Admission(Verdict.REVOKED), Verdict.REVOKED.value
        self._denials.remember(identifiers, admission, asked)
        self._count(charges, admission, outcome)
        if admission.newly_banned and admission.identifier is not None:
            self._audit_ban(
                admission.identifier, admission.retry_after_ms, address, escalated=admission.escalated
            )
        return admission

    async def _ask(
        self, charges: Sequence[Charge], session_id: str | None, fail_closed: bool
    ) -> tuple[Admission, str]:
        """The decision of the limiter or of the fallback, and its outcome for the metrics."""
        try:
            admission = await self._limiter.decide(charges, session=session_id, jitter=self._jitter())
        except UNAVAILABLE as error:
            self._record_outage(error)
            self._count(charges, None, "unavailable")
            if fail_closed:
                raise DependencyUnavailable("limiter", "away, and this route needs it") from error
            admission = await self._fallback.decide(charges, session=None, jitter=self._jitter())
            # The local limiter knows no revocations.
            return replace(admission, revocations_known=False), f"{admission.verdict.value}_locally"
        if self._missed > self._made_good:
            admission = replace(admission, revocations_known=False)
        if not admission.revocations_known:
            self._begin_to_restore()
        return admission, admission.verdict.value

    async def revoke_session(self, session: str, *, ttl_ms: int) -> None:
        """`SessionRevocations`: refuses a session here, and publishes its revocation to the limiter.

        Raises `DependencyUnavailable`, `DeadlineExceeded` or `Overloaded` when the limiter missed it; the
        revocation is then published again later.
        """
        self._revoked.add((session,))
        try:
            await self._revocations.revoke_session(session, ttl_ms=ttl_ms)
        except UNAVAILABLE as error:
            self._missed += 1
            self._warn("what ended was not told to the limiter; workers find it where it is kept: %s", error)
            raise

    async def _is_active(self, session_id: str | None, api_key_id: str | None) -> bool:
        """Whether the session or key is active, read from its store."""
        if session_id is not None:
            session = await self._sessions.get(session_id)
            return session is not None and session.state(self._clock.now_ms()) is SessionState.ACTIVE
        if api_key_id is not None:
            key = await self._api_keys.get(api_key_id)
            return key is not None and key.revoked_ms is None
        return True

    def _begin_to_restore(self) -> None:
        now_s = self._runtime.monotonic()
        is_early = self._restored_s is not None and now_s - self._restored_s < RESTORE_INTERVAL_S_MIN
        if self._restoring is None and not is_early:
            self._restored_s = now_s
            self._restoring = self._runtime.start(self._restore, name="restore-revocations")

    async def _restore(self) -> None:
        """Publishes to the limiter again every revocation of a session or key whose tokens may still live."""
        # The read below includes the revocations missed so far; later ones need another restoration.
        missed = self._missed
        try:
            since_ms = self._clock.now_ms() - REVOCATION_MS
            sessions = await self._sessions.revoked_since(since_ms, limit=RESTORED_MAX)
            keys = await self._api_keys.revoked_since(since_ms, limit=RESTORED_MAX)
            if RESTORED_MAX in (len(sessions), len(keys)):
                self._warn("more than %s sessions or keys were just revoked; each is looked up", RESTORED_MAX)
                return
            revoked = (*sessions, *keys)
            await self._limiter.restore_revocations(dict.fromkeys(revoked, REVOCATION_MS))
            self._made_good = missed
        except UNAVAILABLE as error:
            self._record_outage(error)
        finally:
            self._restoring = None

    def _jitter(self) -> float:
        return jitter_from(self._entropy.token(JITTER_BYTES))

    def _count(self, charges: Sequence[Charge], admission: Admission | None, outcome: str) -> None:
        """Counts a decision by the identifier that decided it, or else by the first one charged."""
        if admission is not None and admission.identifier is not None:
            kind = admission.identifier.type.value
        else:
            kind = charges[0].identifier.type.value if charges else "none"
        self._decisions.add(1, kind, outcome)
        if admission is not None and admission.newly_banned:
            self._bans.add(2 if admission.escalated else 1, kind)
        if admission is not None and admission.identifier is not None:
            self._refusals.add(admission.identifier, refused=1)

    def _audit_ban(self, identifier: Identifier, duration_ms: int, address: str, *, escalated: bool) -> None:
        """Audits an automatic ban. An escalated one is two bans: the network's as well."""
        for banned in refused_by(identifier) if escalated else (identifier,):
            event = audit_event(
                RequestContext(request_id="", address=address, actor=SYSTEM),
                AuditAction.BAN_ADDED,
                f"{banned.type.value}:{banned.value}",
                now_ms=self._clock.now_ms(),
                randomness=self._entropy.token(RANDOMNESS_BYTES),
                detail={"reason": automatic_reason(banned), "seconds": -(-duration_ms // 1000)},
            )
            self._trail.enqueue(event)
            self._refusals.add(banned, bans=1)

    def _record_outage(self, error: Exception) -> None:
        """Remembers that the limiter may lack revocations: until they are restored, the stores are read."""
        self._missed += 1
        self._warn("the limiter is away, requests are counted by this process alone: %s", error)

    def _warn(self, message: str, about: object) -> None:
        """Logs each message once in a while."""
        if self._outages.due(message) is not None:
            _log.warning(message, about)
