"""API keys: the credentials of machines."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from enum import Enum

from domain.identity.users import is_well_formed
from domain.ids import base32, is_id

ID_PREFIX = "key"
SECRET_BYTES = 32
NAME_CHARACTERS_MAX = 64
DEFAULT_BOOK = "main"
"""The book of keys and users that name none."""
KEYS_PER_SPONSOR_MAX = 1_000
"""Live keys of one sponsor: one write ends them all when the sponsor is removed."""
EXPIRES_MS_MAX = 253_402_300_799_999
"""The end of the year 9999, UTC, the last moment that RFC 3339 can write."""

_PRINTED = re.compile(r"ck_([0-9a-z]{26})_([0-9a-z]{52})")


class Scope(Enum):
    """What a service key may do; the values are those of the API."""

    CREDITS_READ = "credits:read"
    CREDITS_WRITE = "credits:write"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    REALTIME_PUBLISH = "realtime:publish"
    ADMIN = "admin"
    """Includes every other scope."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key, which acts on credits in its book alone. Times are milliseconds since the epoch."""

    id: str
    name: str
    scopes: frozenset[Scope]
    book: str
    secret_digest: bytes = field(repr=False)
    created_ms: int
    created_by: str
    sponsor_id: str | None = None
    """The user who created it, directly or by a key. It ends when that user is no administrator any more."""
    made_for: str | None = None
    """The host and the file of a bootstrap key. The next key for the same place replaces it."""
    expires_ms: int | None = None
    revoked_ms: int | None = None
    last_used_ms: int | None = None
    signing_secret: bytes | None = field(default=None, repr=False)
    """The sealed secret of a key that has to sign: a signature cannot be checked by a digest."""

    def is_living(self, now_ms: int) -> bool:
        """Whether the key is neither revoked nor expired."""
        return self.revoked_ms is None and (self.expires_ms is None or now_ms < self.expires_ms)


@dataclass(frozen=True, slots=True)
class PresentedKey:
    """A key as a caller presents it, not checked."""

    id: str
    secret: str = field(repr=False)


class ApiKeyProblem(Enum):
    """Why a key cannot be created like this, worded for the caller."""

    NAME = "1–64 printable characters"
    SCOPES = "at least one scope"
    BOOK = "1–64 characters out of A-Z a-z 0-9 _ . : -"
    EXPIRES_AT = "must lie in the future, and not beyond the year 9999, UTC"

    @property
    def field(self) -> str:
        """The input that the problem is about."""
        return self.name.lower()


class ApiKeyRejection(Enum):
    """Why a key is refused, in order of precedence. Only the holder of the secret learns more."""

    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    WRONG_SECRET = "wrong_secret"
    REVOKED = "revoked"
    EXPIRED = "expired"


def secret_of(randomness: bytes) -> str:
    """The printable form of `SECRET_BYTES` random bytes: 52 characters that a double click selects."""
    if len(randomness) != SECRET_BYTES:
        raise ValueError(f"a secret takes {SECRET_BYTES} random bytes")
    return base32(randomness)


def digest_of(secret: str) -> bytes:
    """The stored digest of a secret. 256 random bits cannot be guessed, so they need no slow hash."""
    return hashlib.sha256(secret.encode()).digest()


def format_api_key(key_id: str, secret: str) -> str:
    """`ck_<id without its prefix>_<secret>`, shown once."""
    return f"ck_{key_id.removeprefix(f'{ID_PREFIX}_')}_{secret}"


def format_signing_secret(secret: str) -> str:
    """`cs_<secret>`, shown once; its ASCII bytes are the HMAC's key."""
    return f"cs_{secret}"


def parse_api_key(text: str) -> PresentedKey | None:
    """The id and secret of a key's text; None for any other text."""
    match = _PRINTED.fullmatch(text)
    return None if match is None else PresentedKey(id=f"{ID_PREFIX}_{match[1]}", secret=match[2])


def api_key_problems(
    *, name: str, scopes: frozenset[Scope], book: str, expires_ms: int | None, now_ms: int
) -> tuple[ApiKeyProblem, ...]:
    """Every problem with the inputs of a new key. Times are milliseconds since the epoch."""
    problems = []
    if not (1 <= len(name) <= NAME_CHARACTERS_MAX and name.isprintable() and is_well_formed(name)):
        problems.append(ApiKeyProblem.NAME)
    if not scopes:
        problems.append(ApiKeyProblem.SCOPES)
    if not is_id(book):
        problems.append(ApiKeyProblem.BOOK)
    if expires_ms is not None and not now_ms < expires_ms <= EXPIRES_MS_MAX:
        problems.append(ApiKeyProblem.EXPIRES_AT)
    return tuple(problems)


def check_api_key(key: ApiKey | None, presented: PresentedKey, now_ms: int) -> ApiKeyRejection | None:
    """Why a presented key is refused; None for a good one. Compares secrets in constant time."""
    if key is None:
        return ApiKeyRejection.UNKNOWN
    if not hmac.compare_digest(digest_of(presented.secret), key.secret_digest):
        return ApiKeyRejection.WRONG_SECRET
    if key.revoked_ms is not None:
        return ApiKeyRejection.REVOKED
    if key.expires_ms is not None and now_ms >= key.expires_ms:
        return ApiKeyRejection.EXPIRED
    return None
