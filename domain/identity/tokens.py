"""Access tokens, WebSocket tokens and refresh tokens, apart from their signatures.

Access and WebSocket tokens are JWTs as of RFC 9068. A port signs them; types, ages and audiences, which
libraries may check laxly, are checked here. Refresh tokens are derived, never stored.
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
"""How far in the future a token from another host may have been issued."""

ACCESS_KEY_LIFETIME_MS = 600_000
"""How long a key verifies after it has stopped signing: the longest life of its tokens, the skew of clocks,
and as much again for a process that learned of its successor late."""

_REFRESH = re.compile(r"rt_([A-Za-z0-9_:-]{1,64})\.([1-9][0-9]{0,9})\.([A-Za-z0-9_-]{43})")
_ROLES = {role.value: role for role in Role}


class SigningAlgorithm(Enum):
    """The value is the `alg` of the header. The key determines the algorithm, never the header."""

    HS256 = "HS256"
    EDDSA = "EdDSA"


class TokenKind(Enum):
    """The value is the `typ` of the header."""

    ACCESS = "at+jwt"
    WEBSOCKET = "ws+jwt"

    @property
    def lifetime_s(self) -> int:
        """Seconds from issue to expiry."""
        return 300 if self is TokenKind.ACCESS else 60


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """The issuer and the audience of every token (`iss`, `aud`)."""

    issuer: str = "credit-system"
    audience: str = "credit-system"


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """The claims of a good token. Times are whole seconds since the epoch (NumericDate of RFC 7519)."""

    kind: TokenKind
    user_id: str
    session_id: str
    token_id: str
    roles: frozenset[Role]
    credential_version: int
    issued_s: int
    expires_s: int
    device: str
    """`device_fingerprint` of the device of the session."""


class TokenRejection(Enum):
    """Why a token is refused, in order of precedence. A token with a good signature is ours, and no guess."""

    BAD_SIGNATURE = "bad_signature"
    """A bad signature, or no token at all."""
    WRONG_TYPE = "wrong_type"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    MALFORMED_CLAIMS = "malformed_claims"
    IMPLAUSIBLE_TIMES = "implausible_times"
    """Issued or valid only in the future, or valid for longer than its kind allows."""
    EXPIRED = "expired"
    WRONG_DEVICE = "wrong_device"


class Fingerprint(Enum):
    """The treatment of a token that another device presents."""

    OFF = "off"
    OBSERVE = "observe"
    ENFORCE = "enforce"


class DeviceVerdict(Enum):
    """The verdict on the device that presents a good token."""

    FINE = "fine"
    NOTED = "noted"
    """Accepted and audited."""
    REFUSED = "refused"


def judge_device(level: Fingerprint, kind: TokenKind, *, same_device: bool) -> DeviceVerdict:
    """The verdict on a device. A minute alone binds a WebSocket token: a socket may have no header."""
    if same_device or level is Fingerprint.OFF or kind is TokenKind.WEBSOCKET:
        return DeviceVerdict.FINE
    return DeviceVerdict.NOTED if level is Fingerprint.OBSERVE else DeviceVerdict.REFUSED


def header_of(kind: TokenKind) -> dict[str, object]:
    """The header of a token, without `alg` and `kid`."""
    return {"typ": kind.value}


def claims_of(claims: TokenClaims, policy: TokenPolicy) -> dict[str, object]:
    """The payload of a token, which `read_claims` reads."""
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
    """The claims of a token with a good signature, or why it is refused. Strict: nothing is coerced."""
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
    """Whether claims that were read before have not expired."""
    return now_s < claims.expires_s


def _not_before(claims: Mapping[str, object]) -> int:
    """`nbf`, which we never write and always respect."""
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
    """128 bits of HMAC-SHA256, by which a token names its device to the holder of the key alone."""
    message = f"device\0{session_id}\0{device_id}".encode()
    return _base64url(hmac.digest(key, message, hashlib.sha256)[:16])


def is_same_device(keys: Sequence[bytes], claims: TokenClaims, device_id: str | None) -> bool:
    """Whether the token was issued to this device, by any of the keys. Constant time."""
    if device_id is None or not is_id(device_id):
        return False
    matches = [
        hmac.compare_digest(device_fingerprint(key, claims.session_id, device_id), claims.device)
        for key in keys
    ]
    return any(matches)


class TokenState(Enum):
    """The state of a refresh token, which is one generation of its session, at one moment."""

    UNISSUED = "unissued"
    CURRENT = "current"
    UNCONFIRMED = "unconfirmed"
    """Rotated, while its successor has not been presented: the answer may have been lost."""
    GRACE = "grace"
    """Rotated just now, while its successor has been presented: another tab was quicker."""
    RETIRED = "retired"
    EXPIRED = "expired"
    REVOKED = "revoked"


class TokenEvent(Enum):
    """An event of a refresh token."""

    ISSUED = "issued"
    PRESENTED = "presented"
    """Presented by its device."""
    PRESENTED_UNNAMED = "presented unnamed"
    """Presented by a request that names no device: more often a lost cookie than a thief."""
    PRESENTED_ELSEWHERE = "presented elsewhere"
    """Presented by a request that names another device."""
    CONFIRMED = "confirmed"
    """Its successor was presented, by any device: the answer had arrived."""
    OUTLIVED = "outlived"
    """Its grace has ended."""
    LAPSED = "lapsed"
    ENDED = "ended"
    """Its user, an administrator, a change of credentials or a theft ended its session."""


class RefreshDecision(Enum):
    """The decision about a genuine refresh token, in order of precedence."""

    REVOKED = "revoked"
    EXPIRED = "expired"
    INVALID = "invalid"
    """A generation that was never issued."""
    REUSED = "reused"
    """A retired token, too late or from another device: the session is revoked."""
    WRONG_DEVICE = "wrong_device"
    """No token is issued, and the session stays."""
    REPEAT = "repeat"
    """The same successor is issued again."""
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
"""Every legal transition of a refresh token, with the decision for its presenter."""


def decide_token(state: TokenState, event: TokenEvent) -> RefreshDecision:
    """The decision about a genuine token. Raises `LookupError` for an event that presents none."""
    _, decision = LIFECYCLE[state, event]
    if decision is None:
        raise LookupError(f"{event.value} presents no token")
    return decision


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token as presented, not checked."""

    session_id: str
    generation: int
    text: str = field(repr=False)


def refresh_token(key: bytes, session_id: str, generation: int) -> str:
    """`rt_<session>.<generation>.<mac>`, derived, so that the same successor can be issued again."""
    message = f"refresh\0{session_id}\0{generation}".encode()
    return f"rt_{session_id}.{generation}.{_base64url(hmac.digest(key, message, hashlib.sha256))}"


def parse_refresh_token(text: str) -> RefreshToken | None:
    """The parts of a refresh token's text; None for any other text."""
    match = _REFRESH.fullmatch(text)
    if match is None:
        return None
    return RefreshToken(session_id=match[1], generation=int(match[2]), text=text)


def is_genuine(keys: Sequence[bytes], token: RefreshToken) -> bool:
    """Whether one of the keys made a token. Compares its whole text, in constant time."""
    presented = token.text.encode()
    matches = [
        hmac.compare_digest(refresh_token(key, token.session_id, token.generation).encode(), presented)
        for key in keys
    ]
    return any(matches)


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
