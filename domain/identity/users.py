"""Users: their names, roles, passwords and known devices."""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from collections.abc import Container
from dataclasses import dataclass, field
from enum import Enum

ID_PREFIX = "usr"
EMAIL_CHARACTERS_MAX = 254
PASSWORD_CHARACTERS_MIN = 8
PASSWORD_CHARACTERS_MAX = 256
DEVICES_KNOWN_MAX = 32
"""Devices of one user that are remembered. The one that logged in least recently is forgotten first."""

_USERNAME = re.compile(r"[A-Za-z0-9_.-]{3,64}")
_EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f]{1,64}@[^\s@.\x00-\x1f\x7f]{1,63}(\.[^\s@.\x00-\x1f\x7f]{1,63})+")


class Role(Enum):
    """The role of a user. The values are those of the API."""

    USER = "user"
    ANALYST = "analyst"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class User:
    """The account of a person. Times are milliseconds since the epoch."""

    id: str
    username: str
    email: str
    roles: frozenset[Role]
    password_hash: str = field(repr=False)
    created_ms: int
    credential_version: int = 1
    """Raised by each change of credentials. Sessions and tokens of an older version have ended."""
    last_login_ms: int | None = None
    known_devices: tuple[str, ...] = field(default=(), repr=False)
    """`device_digest` of each device that has logged in, the latest last. At most `DEVICES_KNOWN_MAX`."""

    @property
    def username_key(self) -> str:
        """The key by which the username is unique."""
        return uniqueness_key(self.username)

    @property
    def email_key(self) -> str:
        """The key by which the e-mail address is unique."""
        return uniqueness_key(self.email)


class UserProblem(Enum):
    """Why an input cannot be a user's, worded for the person who typed it."""

    USERNAME = "3–64 characters out of A-Z a-z 0-9 _ . -"
    EMAIL = "not an e-mail address of at most 254 characters"
    PASSWORD_LENGTH = "8–256 characters"
    PASSWORD_CHARACTERS = "no NUL and no unpaired surrogates"
    PASSWORD_COMMON = "one of the passwords that are tried first"
    PASSWORD_NAME = "the username or the e-mail address again"

    @property
    def field(self) -> str:
        """The input that the problem is about."""
        return self.name.partition("_")[0].lower()


def uniqueness_key(text: str) -> str:
    """The key that names share when a person reads them as the same: NFKC and case folding (Unicode 3.13)."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded)


def username_problems(username: str) -> tuple[UserProblem, ...]:
    """Why a text cannot be a username."""
    return () if _USERNAME.fullmatch(username) else (UserProblem.USERNAME,)


def email_problems(email: str) -> tuple[UserProblem, ...]:
    """Why a text cannot be an e-mail address. It has to be plausible as typed and as compared; more only a
    delivered message could prove. Invisible characters (zero-width, bidirectional) are refused, since they
    would make two addresses of one that a person reads."""
    plausible = len(email) <= EMAIL_CHARACTERS_MAX and email.isprintable() and is_well_formed(email)
    if plausible and _EMAIL.fullmatch(email) and _EMAIL.fullmatch(uniqueness_key(email)):
        return ()
    return (UserProblem.EMAIL,)


def password_problems(
    password: str, *, username: str, email: str, common: Container[str]
) -> tuple[UserProblem, ...]:
    """Why a user may not choose a password. `common` holds uniqueness keys of common passwords.

    No rule requires kinds of characters, which would make passwords worse (NIST SP 800-63B, 3.1.1).
    """
    if not is_well_formed(password) or "\0" in password:
        return (UserProblem.PASSWORD_CHARACTERS,)
    if not is_possible_password(password):
        return (UserProblem.PASSWORD_LENGTH,)
    key = uniqueness_key(password)
    if key in common:
        return (UserProblem.PASSWORD_COMMON,)
    names = (uniqueness_key(username), uniqueness_key(email), uniqueness_key(email.partition("@")[0]))
    return (UserProblem.PASSWORD_NAME,) if key in names else ()


def is_possible_password(password: str) -> bool:
    """Whether a user can have a password; if not, no hash is compared. Counts characters as hashed."""
    if not is_well_formed(password) or "\0" in password:
        return False
    return PASSWORD_CHARACTERS_MIN <= len(_normal(password)) <= PASSWORD_CHARACTERS_MAX


def password_bytes(password: str) -> bytes:
    """The bytes to hash: in NFC, so that every keyboard types the same password (RFC 8265, OpaqueString)."""
    return _normal(password).encode()


def _normal(password: str) -> str:
    return unicodedata.normalize("NFC", password)


def device_digest(user_id: str, device_id: str) -> str:
    """The stored form of a device: 128 bits of SHA-256, so that its reader cannot pose as the device."""
    digest = hashlib.sha256(f"known device\0{user_id}\0{device_id}".encode()).digest()
    return base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()


def with_device(known: tuple[str, ...], digest: str) -> tuple[str, ...]:
    """The known devices after a login on this one."""
    others = [device for device in known if device != digest]
    return (*others, digest)[-DEVICES_KNOWN_MAX:]


def is_well_formed(text: str) -> bool:
    """Whether a text has no lone surrogate, which JSON can carry and UTF-8 cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
