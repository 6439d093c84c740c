"""Giving out access and websocket tokens, and believing them."""

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
BELIEVED_MAX = 4_096
"""Tokens whose signature and claims need no second look; some 1 KiB each."""


@dataclass(frozen=True, slots=True)
class IssuedToken:
    text: str = field(repr=False)
    expires_in_s: int


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token that is ours and in force, and not refused for the device that shows it.

    Revocation is not known here: the limiter checks `principal.session_id` in its one round trip.
    """

    principal: Principal
    kind: TokenKind
    expires_ms: int
    token_id: str
    device: DeviceVerdict


@dataclass(frozen=True, slots=True)
class ForeignToken:
    """A token that is ours and in force, and refused: another device than its own shows it."""

    principal: Principal


@dataclass(slots=True)
class _Believed:
    """A token of ours, and what came of the device that showed it last."""

    claims: TokenClaims
    device_id: bytes | None = None
    verified: VerifiedToken | None = None

    def again(self, device_id: bytes) -> VerifiedToken | None:
        """What is known already of this token with this device. Takes the same time for every device of
        this length: whoever stole a token learns nothing of its device."""
        if self.device_id is None or not compare_digest(self.device_id, device_id):
            return None
        return self.verified


class TokenService:
    """No I/O: a token is signed and checked locally, and a client's next request is checked from memory."""

    def __init__(
        self,
        *,
        keys: TokenKeys,
        clock: Clock,
        entropy: Entropy,
        policy: TokenPolicy = DEFAULT_POLICY,
        fingerprint: Fingerprint = Fingerprint.ENFORCE,
        believed_max: int = BELIEVED_MAX,
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._entropy = entropy
        self._policy = policy
        self._fingerprint = fingerprint
        self._believed: OrderedDict[str, _Believed] = OrderedDict()
        self._believed_by: TokenKeySet | None = None
        self._believed_max = believed_max

    @property
    def fingerprint(self) -> Fingerprint:
        """What binds a token to its device: an HMAC of the device's id."""
        return self._fingerprint

    @property
    def public_keys(self) -> Sequence[Mapping[str, str]]:
        """What others may check our access tokens with: JSON Web Keys."""
        return self._keys.current().public_keys

    def issue(self, kind: TokenKind, user: User, session: Session) -> IssuedToken:
        """An access or WebSocket token of the session, for the device that it belongs to."""
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
        """For a request. `device_id` is what the caller's cookie or header says."""
        return self._verify(token, (TokenKind.ACCESS,), device_id)

    def verify_socket(
        self, token: str, *, device_id: str | None
    ) -> VerifiedToken | ForeignToken | TokenRejection:
        """For a socket's first frame: a websocket token from anywhere, or an access token as above.

        A websocket token lives a minute and was given to the bound device just before; a browser's
        socket cannot carry a header.
        """
        return self._verify(token, (TokenKind.WEBSOCKET, TokenKind.ACCESS), device_id)

    def _verify(
        self, token: str, kinds: tuple[TokenKind, ...], device_id: str | None
    ) -> VerifiedToken | ForeignToken | TokenRejection:
        now_s = self._clock.now_ms() // 1000
        believed = self._believe(token, kinds, now_s)
        if believed is TokenRejection.BAD_SIGNATURE and self._keys.reload():
            believed = self._believe(token, kinds, now_s)
        if isinstance(believed, TokenRejection):
            return believed
        shown_by = b"" if device_id is None else device_id.encode("utf-8", "surrogatepass")
        if (known := believed.again(shown_by)) is not None:
            return known
        claims = believed.claims
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
        believed.device_id, believed.verified = shown_by, verified
        return verified

    def _believe(self, token: str, kinds: tuple[TokenKind, ...], now_s: int) -> _Believed | TokenRejection:
        keys = self._keys.current()
        if keys is not self._believed_by:
            # What another key signed is to be judged by the keys of now.
            self._believed.clear()
            self._believed_by = keys
        known = self._believed.get(token)
        if known is not None and known.claims.kind in kinds:
            return known if is_in_force(known.claims, now_s) else TokenRejection.EXPIRED
        signed = keys.signer.verify(token)
        if signed is None:
            was_ours = keys.former is not None and keys.former.verify(token) is not None
            return TokenRejection.EXPIRED if was_ours else TokenRejection.BAD_SIGNATURE
        claims = read_claims(signed.header, signed.claims, kinds=kinds, policy=self._policy, now_s=now_s)
        if isinstance(claims, TokenRejection):
            return claims
        # Only what is ours gets in here: strangers cannot push good tokens out.
        believed = self._believed[token] = _Believed(claims)
        if len(self._believed) > self._believed_max:
            self._believed.popitem(last=False)
        return believed


def _principal(claims: TokenClaims) -> Principal:
    return Principal(
        kind=PrincipalKind.USER,
        id=claims.user_id,
        roles=claims.roles,
        session_id=claims.session_id,
        user_id=claims.user_id,
    )
