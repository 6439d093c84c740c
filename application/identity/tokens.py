"""Issues and verifies access and WebSocket tokens."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hmac import compare_digest

from domain.identity.access import Principal, PrincipalKind
from domain.identity.sessions import Session
from domain.identity.tokens import (
    DeviceVerdict,
    Fingerprint,
    TokenClaims,
    TokenKind,
    TokenPolicy,
    TokenRejection,
    claims_of,
    device_fingerprint,
    header_of,
    is_in_force,
    is_same_device,
    judge_device,
    read_claims,
)
from domain.identity.users import User
from domain.ids import RANDOMNESS_BYTES, time_ordered_id
from ports.clock import Clock
from ports.entropy import Entropy
from ports.identity.token_keys import TokenKeys, TokenKeySet

DEFAULT_POLICY = TokenPolicy()
CACHED_TOKENS_MAX = 4_096
"""Tokens whose verified claims are cached; some 1 KiB each."""


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A signed token and its lifetime in seconds."""

    text: str = field(repr=False)
    expires_in_s: int


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token of ours that is in force, from a device that may present it. `expires_ms` is since the epoch.

    Says nothing of revocation: the limiter checks `principal.session_id` in its one round trip.
    """

    principal: Principal
    kind: TokenKind
    expires_ms: int
    token_id: str
    device: DeviceVerdict


@dataclass(frozen=True, slots=True)
class ForeignToken:
    """A token of ours that is in force, refused since another device than its own presents it."""

    principal: Principal


@dataclass(slots=True)
class _CachedToken:
    """The claims of a verified token, and the result for the device that presented it last."""

    claims: TokenClaims
    device_id: bytes | None = None
    verified: VerifiedToken | None = None

    def result_for(self, device_id: bytes) -> VerifiedToken | None:
        """The cached result for this device, if any.

        Takes the same time for every device id of one length, so that a thief of the token learns nothing of
        its device.
        """
        if self.device_id is None or not compare_digest(self.device_id, device_id):
            return None
        return self.verified


class TokenService:
    """Issues and verifies access and WebSocket tokens, in memory and without I/O."""

    def __init__(
        self,
        *,
        keys: TokenKeys,
        clock: Clock,
        entropy: Entropy,
        policy: TokenPolicy = DEFAULT_POLICY,
        fingerprint: Fingerprint = Fingerprint.ENFORCE,
        cached_max: int = CACHED_TOKENS_MAX,
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._entropy = entropy
        self._policy = policy
        self._fingerprint = fingerprint
        self._cache: OrderedDict[str, _CachedToken] = OrderedDict()
        self._cached_keys: TokenKeySet | None = None
        self._cached_max = cached_max

    @property
    def fingerprint(self) -> Fingerprint:
        """The level at which tokens are bound to their devices."""
        return self._fingerprint

    @property
    def public_keys(self) -> Sequence[Mapping[str, str]]:
        """The JSON Web Keys (RFC 7517) that verify access tokens; none under HS256."""
        return self._keys.current().public_keys

    def issue(self, kind: TokenKind, user: User, session: Session) -> IssuedToken:
        """A new access or WebSocket token of the session, bound to the device of the session."""
        keys = self._keys.current()
        now_ms = self._clock.now_ms()
        now_s = now_ms // 1000
        claims = TokenClaims(
            kind=kind,
            user_id=user.id,
            session_id=session.id,
            token_id=time_ordered_id("tok", now_ms, self._entropy.token(RANDOMNESS_BYTES)),
            roles=user.roles,
            credential_version=session.credential_version,
            issued_s=now_s,
            expires_s=now_s + kind.lifetime_s,
            device=device_fingerprint(keys.device_keys[0], session.id, session.device_id),
        )
        text = keys.signer.sign(header_of(kind), claims_of(claims, self._policy))
        return IssuedToken(text=text, expires_in_s=kind.lifetime_s)

    def verify_access(
        self, token: str, *, device_id: str | None
    ) -> VerifiedToken | ForeignToken | TokenRejection:
        """Verifies the token of a request from the device that its cookie or header names. Takes any text."""
        return self._verify(token, (TokenKind.ACCESS,), device_id)

    def verify_socket(
        self, token: str, *, device_id: str | None
    ) -> VerifiedToken | ForeignToken | TokenRejection:
        """Verifies the token of a socket: a WebSocket token from any device, or an access token.

        A WebSocket token lives a minute and was just issued to its device; a browser's socket carries no
        header.
        """
        return self._verify(token, (TokenKind.WEBSOCKET, TokenKind.ACCESS), device_id)

    def _verify(
        self, token: str, kinds: tuple[TokenKind, ...], device_id: str | None
    ) -> VerifiedToken | ForeignToken | TokenRejection:
        now_s = self._clock.now_ms() // 1000
        cached = self._read_token(token, kinds, now_s)
        if cached is TokenRejection.BAD_SIGNATURE and self._keys.reload():
            cached = self._read_token(token, kinds, now_s)
        if isinstance(cached, TokenRejection):
            return cached
        presented_by = b"" if device_id is None else device_id.encode("utf-8", "surrogatepass")
        if (result := cached.result_for(presented_by)) is not None:
            return result
        claims = cached.claims
        same_device = is_same_device(self._keys.current().device_keys, claims, device_id)
        verdict = judge_device(self._fingerprint, claims.kind, same_device=same_device)
        if verdict is DeviceVerdict.REFUSED:
            return ForeignToken(_principal(claims))
        verified = VerifiedToken(
            principal=_principal(claims),
            kind=claims.kind,
            expires_ms=claims.expires_s * 1000,
            token_id=claims.token_id,
            device=verdict,
        )
        cached.device_id, cached.verified = presented_by, verified
        return verified

    def _read_token(
        self, token: str, kinds: tuple[TokenKind, ...], now_s: int
    ) -> _CachedToken | TokenRejection:
        keys = self._keys.current()
        if keys is not self._cached_keys:
            # Tokens of other keys have to be verified by the present ones.
            self._cache.clear()
            self._cached_keys = keys
        known = self._cache.get(token)
        if known is not None and known.claims.kind in kinds:
            return known if is_in_force(known.claims, now_s) else TokenRejection.EXPIRED
        signed = keys.signer.verify(token)
        if signed is None:
            was_ours = keys.former is not None and keys.former.verify(token) is not None
            return TokenRejection.EXPIRED if was_ours else TokenRejection.BAD_SIGNATURE
        claims = read_claims(signed.header, signed.claims, kinds=kinds, policy=self._policy, now_s=now_s)
        if isinstance(claims, TokenRejection):
            return claims
        # Only tokens of ours are cached, so that strangers cannot evict good ones.
        cached = self._cache[token] = _CachedToken(claims)
        if len(self._cache) > self._cached_max:
            self._cache.popitem(last=False)
        return cached


def _principal(claims: TokenClaims) -> Principal:
    return Principal(
        kind=PrincipalKind.USER,
        id=claims.user_id,
        roles=claims.roles,
        session_id=claims.session_id,
        user_id=claims.user_id,
    )
