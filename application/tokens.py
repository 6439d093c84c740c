"""Giving out access and websocket tokens, and believing them."""

from __future__ import annotations

from dataclasses import dataclass, field

from domain.access import Principal, PrincipalKind
from domain.ids import RANDOMNESS_BYTES, time_ordered_id
from domain.sessions import Session
from domain.tokens import (
    Fingerprint,
    TokenClaims,
    TokenKind,
    TokenPolicy,
    TokenRejection,
    claims_of,
    device_fingerprint,
    header_of,
    is_same_device,
    read_claims,
)
from domain.users import User
from ports.clock import Clock
from ports.entropy import Entropy
from ports.token_signer import TokenSigner

DEFAULT_POLICY = TokenPolicy()


@dataclass(frozen=True, slots=True)
class IssuedToken:
    text: str = field(repr=False)
    expires_in_s: int


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token that is ours, in force, and (when enforced) shown by the device it was given to.

    Revocation is not known here: the limiter checks `principal.session_id` in its one round trip.
    """

    principal: Principal
    kind: TokenKind
    expires_ms: int
    token_id: str
    is_same_device: bool
    """False is only seen when the fingerprint is not enforced, and with websocket tokens."""


class TokenService:
    """No I/O: a token is signed and checked locally."""

    def __init__(
        self,
        *,
        signer: TokenSigner,
        clock: Clock,
        entropy: Entropy,
        device_key: bytes,
        policy: TokenPolicy = DEFAULT_POLICY,
        fingerprint: Fingerprint = Fingerprint.ENFORCE,
    ) -> None:
        self._signer = signer
        self._clock = clock
        self._entropy = entropy
        self._device_key = device_key
        self._policy = policy
        self._fingerprint = fingerprint

    @property
    def fingerprint(self) -> Fingerprint:
        return self._fingerprint

    def issue(self, kind: TokenKind, user: User, session: Session) -> IssuedToken:
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
            device=device_fingerprint(self._device_key, session.id, session.device_id),
        )
        text = self._signer.sign(header_of(kind), claims_of(claims, self._policy))
        return IssuedToken(text=text, expires_in_s=kind.lifetime_s)

    def verify_access(self, token: str, *, device_id: str | None) -> VerifiedToken | TokenRejection:
        """For a request. `device_id` is what the caller's cookie or header says."""
        return self._verify(token, (TokenKind.ACCESS,), device_id)

    def verify_socket(self, token: str, *, device_id: str | None) -> VerifiedToken | TokenRejection:
        """For a socket's first frame: a websocket token from anywhere, or an access token as above.

        A websocket token lives a minute and was given to the bound device just before; a browser's
        socket cannot carry a header.
        """
        return self._verify(token, (TokenKind.WEBSOCKET, TokenKind.ACCESS), device_id)

    def _verify(
        self, token: str, kinds: tuple[TokenKind, ...], device_id: str | None
    ) -> VerifiedToken | TokenRejection:
        signed = self._signer.verify(token)
        if signed is None:
            return TokenRejection.BAD_SIGNATURE
        claims = read_claims(
            signed.header,
            signed.claims,
            kinds=kinds,
            policy=self._policy,
            now_s=self._clock.now_ms() // 1000,
        )
        if isinstance(claims, TokenRejection):
            return claims
        same_device = is_same_device(self._device_key, claims, device_id)
        is_bound = self._fingerprint is Fingerprint.ENFORCE and claims.kind is TokenKind.ACCESS
        if is_bound and not same_device:
            return TokenRejection.WRONG_DEVICE
        return VerifiedToken(
            principal=_principal(claims),
            kind=claims.kind,
            expires_ms=claims.expires_s * 1000,
            token_id=claims.token_id,
            is_same_device=same_device,
        )


def _principal(claims: TokenClaims) -> Principal:
    return Principal(
        kind=PrincipalKind.USER,
        id=claims.user_id,
        roles=claims.roles,
        session_id=claims.session_id,
        user_id=claims.user_id,
    )
