"""Access tokens, websocket tokens and refresh tokens, as far as they are values.

Access and websocket tokens are JWTs after RFC 9068. Signing is a port's; everything a library may be
lax about (types, ages, audiences) is checked here. Refresh tokens are derived, never stored.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from domain.identity.users import Role
from domain.ids import is_id

CLOCK_SKEW_S_MAX = 30
"""A token from another host may be this much from the future."""

ACCESS_KEY_LIFETIME_MS = 600_000
"""How long a key that signs no more is still believed: the longest life of what it signed, the skew of
clocks, and as much again for a process that noticed its successor late."""

_REFRESH = re.compile(r"rt_([A-Za-z0-9_:-]{1,64})\.([1-9][0-9]{0,9})\.([A-Za-z0-9_-]{43})")
_ROLES = {role.value: role for role in Role}


class SigningAlgorithm(Enum):
    """The value is the header's `alg`. Which one is right is told by the key, never by the header."""

    HS256 = "HS256"
    EDDSA = "EdDSA"


class TokenKind(Enum):
    """The value is the header's `typ`."""

    ACCESS = "at+jwt"
    WEBSOCKET = "ws+jwt"

    @property
    def lifetime_s(self) -> int:
        return 300 if self is TokenKind.ACCESS else 60


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """Who signs, and for whom."""

    issuer: str = "credit-system"
    audience: str = "credit-system"


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """What a good token says. Times are whole seconds since the epoch (RFC 7519's NumericDate)."""

    kind: TokenKind
    user_id: str
    session_id: str
    token_id: str
    roles: frozenset[Role]
    credential_version: int
    issued_s: int
    expires_s: int
    device: str
    """`device_fingerprint` of the device that the session belongs to."""


class TokenRejection(Enum):
    """Why a token is refused, in order of precedence. Whatever comes after the signature is ours, and no
    guess of anybody's."""

    BAD_SIGNATURE = "bad_signature"
    """Or not a token at all."""
    WRONG_TYPE = "wrong_type"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    MALFORMED_CLAIMS = "malformed_claims"
    IMPLAUSIBLE_TIMES = "implausible_times"
    """Issued or beginning in the future, or to live longer than its kind may."""
    EXPIRED = "expired"
    WRONG_DEVICE = "wrong_device"


class Fingerprint(Enum):
    """What is done about a token that comes from another device."""

    OFF = "off"
    OBSERVE = "observe"
    ENFORCE = "enforce"


class DeviceVerdict(Enum):
    """What becomes of a good token, by the device that shows it."""

    FINE = "fine"
    NOTED = "noted"
    """Let through, and written down."""
    REFUSED = "refused"


def judge_device(level: Fingerprint, kind: TokenKind, *, same_device: bool) -> DeviceVerdict:
    """A websocket token is bound by its minute: a browser's socket cannot carry a header."""
    if same_device or level is Fingerprint.OFF or kind is TokenKind.WEBSOCKET:
        return DeviceVerdict.FINE
    return DeviceVerdict.NOTED if level is Fingerprint.OBSERVE else DeviceVerdict.REFUSED


def header_of(kind: TokenKind) -> dict[str, object]:
    return {"typ": kind.value}


def claims_of(claims: TokenClaims, policy: TokenPolicy) -> dict[str, object]:
    """The JWT's payload; `read_claims` is its inverse."""
    return {
        "iss": policy.issuer,
        "aud": policy.audience,
        "sub": claims.user_id,
        "sid": claims.session_id,
        "jti": claims.token_id,
        "iat": claims.issued_s,
        "exp": claims.expires_s,
        "ver": claims.credential_version,
        "dev": claims.device,
        "roles": sorted(role.value for role in claims.roles),
    }


def read_claims(
    header: Mapping[str, object],
    claims: Mapping[str, object],
    *,
    kinds: Sequence[TokenKind],
    policy: TokenPolicy,
    now_s: int,
) -> TokenClaims | TokenRejection:
    """A token whose signature is good, checked strictly: nothing is coerced, nothing is optional."""
    kind = next((kind for kind in kinds if header.get("typ") == kind.value), None)
    if kind is None:
        return TokenRejection.WRONG_TYPE
    if claims.get("iss") != policy.issuer:
        return TokenRejection.WRONG_ISSUER
    if claims.get("aud") != policy.audience:
        return TokenRejection.WRONG_AUDIENCE
    parsed = _parse(kind, claims)
    if parsed is None:
        return TokenRejection.MALFORMED_CLAIMS
    lifetime_s = parsed.expires_s - parsed.issued_s
    begins_s = max(parsed.issued_s, _not_before(claims))
    if begins_s > now_s + CLOCK_SKEW_S_MAX or not 0 < lifetime_s <= kind.lifetime_s:
        return TokenRejection.IMPLAUSIBLE_TIMES
    return parsed if is_in_force(parsed, now_s) else TokenRejection.EXPIRED


def is_in_force(claims: TokenClaims, now_s: int) -> bool:
    """Whether claims that were once read are still good."""
    return now_s < claims.expires_s


def _not_before(claims: Mapping[str, object]) -> int:
    """We never write one; a token that has one means it."""
    moment = claims.get("nbf", 0)
    return moment if type(moment) is int else 0


def _parse(kind: TokenKind, claims: Mapping[str, object]) -> TokenClaims | None:
    subject, session, token, device = (claims.get(name) for name in ("sub", "sid", "jti", "dev"))
    issued, expires, version = (claims.get(name) for name in ("iat", "exp", "ver"))
    roles = claims.get("roles")
    if not (
        isinstance(subject, str)
        and isinstance(session, str)
        and isinstance(token, str)
        and isinstance(device, str)
        and all(map(is_id, (subject, session, token, device)))
    ):
        return None
    # `type is int`: a bool is an int too.
    if not (type(issued) is int and type(expires) is int and type(version) is int):
        return None
    if type(claims.get("nbf", 0)) is not int:
        return None
    if not isinstance(roles, list) or not all(isinstance(role, str) and role in _ROLES for role in roles):
        return None
    return TokenClaims(
        kind=kind,
        user_id=subject,
        session_id=session,
        token_id=token,
        roles=frozenset(_ROLES[role] for role in roles),
        credential_version=version,
        issued_s=issued,
        expires_s=expires,
        device=device,
    )


def device_fingerprint(key: bytes, session_id: str, device_id: str) -> str:
    """128 bits of HMAC-SHA256: the token names its device to us, and to nobody else."""
    message = f"device\0{session_id}\0{device_id}".encode()
    return _base64url(hmac.digest(key, message, hashlib.sha256)[:16])


def is_same_device(keys: Sequence[bytes], claims: TokenClaims, device_id: str | None) -> bool:
    """Whether the caller's device is the one the token was given to, by any of the keys. Constant time."""
    if device_id is None or not is_id(device_id):
        return False
    matches = [
        hmac.compare_digest(device_fingerprint(key, claims.session_id, device_id), claims.device)
        for key in keys
    ]
    return any(matches)


class TokenState(Enum):
    """Of one refresh token: one generation of its session, as of one moment."""

    UNISSUED = "unissued"
    CURRENT = "current"
    UNCONFIRMED = "unconfirmed"
    """Rotated, and nobody has shown its successor yet: the answer may have been lost."""
    GRACE = "grace"
    """Rotated just now, and its successor was shown: another tab was quicker."""
    RETIRED = "retired"
    EXPIRED = "expired"
    REVOKED = "revoked"


class TokenEvent(Enum):
    """What can happen to one."""

    ISSUED = "issued"
    PRESENTED = "presented"
    """By the device that it belongs to."""
    PRESENTED_UNNAMED = "presented unnamed"
    """By a request that names no device: more often a cookie that did not travel than a thief."""
    PRESENTED_ELSEWHERE = "presented elsewhere"
    """By a request that names another device."""
    CONFIRMED = "confirmed"
    """Its successor was shown, by whomever: it had arrived."""
    OUTLIVED = "outlived"
    """Its grace is over."""
    LAPSED = "lapsed"
    ENDED = "ended"
    """Its session was, by its user, an administrator, a change of credentials or theft."""


class RefreshDecision(Enum):
    """What to do with a genuine refresh token, in order of precedence."""

    REVOKED = "revoked"
    EXPIRED = "expired"
    INVALID = "invalid"
    """A generation that was never given out."""
    REUSED = "reused"
    """A retired token, too late or from elsewhere: the family dies."""
    WRONG_DEVICE = "wrong_device"
    """Nothing is given, and nothing dies."""
    REPEAT = "repeat"
    """The same successor again."""
    ROTATE = "rotate"


LIFECYCLE: Mapping[tuple[TokenState, TokenEvent], tuple[TokenState, RefreshDecision | None]] = {
    (TokenState.UNISSUED, TokenEvent.ISSUED): (TokenState.CURRENT, None),
    (TokenState.UNISSUED, TokenEvent.PRESENTED): (TokenState.UNISSUED, RefreshDecision.INVALID),
    (TokenState.UNISSUED, TokenEvent.PRESENTED_UNNAMED): (TokenState.UNISSUED, RefreshDecision.INVALID),
    (TokenState.UNISSUED, TokenEvent.PRESENTED_ELSEWHERE): (TokenState.UNISSUED, RefreshDecision.INVALID),
    (TokenState.CURRENT, TokenEvent.PRESENTED): (TokenState.UNCONFIRMED, RefreshDecision.ROTATE),
    (TokenState.CURRENT, TokenEvent.PRESENTED_UNNAMED): (TokenState.CURRENT, RefreshDecision.WRONG_DEVICE),
    (TokenState.CURRENT, TokenEvent.PRESENTED_ELSEWHERE): (TokenState.CURRENT, RefreshDecision.WRONG_DEVICE),
    (TokenState.CURRENT, TokenEvent.LAPSED): (TokenState.EXPIRED, None),
    (TokenState.CURRENT, TokenEvent.ENDED): (TokenState.REVOKED, None),
    (TokenState.UNCONFIRMED, TokenEvent.PRESENTED): (TokenState.UNCONFIRMED, RefreshDecision.REPEAT),
    (TokenState.UNCONFIRMED, TokenEvent.PRESENTED_UNNAMED): (
        TokenState.UNCONFIRMED,
        RefreshDecision.WRONG_DEVICE,
    ),
    (TokenState.UNCONFIRMED, TokenEvent.PRESENTED_ELSEWHERE): (TokenState.REVOKED, RefreshDecision.REUSED),
    (TokenState.UNCONFIRMED, TokenEvent.CONFIRMED): (TokenState.GRACE, None),
    (TokenState.UNCONFIRMED, TokenEvent.LAPSED): (TokenState.EXPIRED, None),
    (TokenState.UNCONFIRMED, TokenEvent.ENDED): (TokenState.REVOKED, None),
    (TokenState.GRACE, TokenEvent.PRESENTED): (TokenState.GRACE, RefreshDecision.REPEAT),
    (TokenState.GRACE, TokenEvent.PRESENTED_UNNAMED): (TokenState.GRACE, RefreshDecision.WRONG_DEVICE),
    (TokenState.GRACE, TokenEvent.PRESENTED_ELSEWHERE): (TokenState.REVOKED, RefreshDecision.REUSED),
    (TokenState.GRACE, TokenEvent.OUTLIVED): (TokenState.RETIRED, None),
    (TokenState.GRACE, TokenEvent.LAPSED): (TokenState.EXPIRED, None),
    (TokenState.GRACE, TokenEvent.ENDED): (TokenState.REVOKED, None),
    (TokenState.RETIRED, TokenEvent.PRESENTED): (TokenState.REVOKED, RefreshDecision.REUSED),
    (TokenState.RETIRED, TokenEvent.PRESENTED_UNNAMED): (TokenState.REVOKED, RefreshDecision.REUSED),
    (TokenState.RETIRED, TokenEvent.PRESENTED_ELSEWHERE): (TokenState.REVOKED, RefreshDecision.REUSED),
    (TokenState.RETIRED, TokenEvent.LAPSED): (TokenState.EXPIRED, None),
    (TokenState.RETIRED, TokenEvent.ENDED): (TokenState.REVOKED, None),
    (TokenState.EXPIRED, TokenEvent.PRESENTED): (TokenState.EXPIRED, RefreshDecision.EXPIRED),
    (TokenState.EXPIRED, TokenEvent.PRESENTED_UNNAMED): (TokenState.EXPIRED, RefreshDecision.EXPIRED),
    (TokenState.EXPIRED, TokenEvent.PRESENTED_ELSEWHERE): (TokenState.EXPIRED, RefreshDecision.EXPIRED),
    (TokenState.EXPIRED, TokenEvent.ENDED): (TokenState.REVOKED, None),
    (TokenState.REVOKED, TokenEvent.PRESENTED): (TokenState.REVOKED, RefreshDecision.REVOKED),
    (TokenState.REVOKED, TokenEvent.PRESENTED_UNNAMED): (TokenState.REVOKED, RefreshDecision.REVOKED),
    (TokenState.REVOKED, TokenEvent.PRESENTED_ELSEWHERE): (TokenState.REVOKED, RefreshDecision.REVOKED),
}
"""Every legal step of a refresh token, and what whoever shows it gets."""


def decide_token(state: TokenState, shown: TokenEvent) -> RefreshDecision:
    """What a genuine token gets in this state. Raises `LookupError` for an event that shows nothing."""
    _, decision = LIFECYCLE[state, shown]
    if decision is None:
        raise LookupError(f"{shown.value} shows nothing")
    return decision


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token as presented, not yet known to be genuine."""

    session_id: str
    generation: int
    text: str = field(repr=False)


def refresh_token(key: bytes, session_id: str, generation: int) -> str:
    """`rt_<session>.<generation>.<mac>`: derived, so the same successor can be given again."""
    message = f"refresh\0{session_id}\0{generation}".encode()
    return f"rt_{session_id}.{generation}.{_base64url(hmac.digest(key, message, hashlib.sha256))}"


def parse_refresh_token(text: str) -> RefreshToken | None:
    found = _REFRESH.fullmatch(text)
    if found is None:
        return None
    return RefreshToken(session_id=found[1], generation=int(found[2]), text=text)


def is_genuine(keys: Sequence[bytes], token: RefreshToken) -> bool:
    """Whether one of our keys made it. Compares the text in constant time: one spelling only."""
    presented = token.text.encode()
    matches = [
        hmac.compare_digest(refresh_token(key, token.session_id, token.generation).encode(), presented)
        for key in keys
    ]
    return any(matches)


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
