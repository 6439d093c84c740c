"""Users: what they are called, what they may be, and which inputs are refused."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from enum import Enum

EMAIL_CHARACTERS_MAX = 254
PASSWORD_CHARACTERS_MIN = 8
PASSWORD_CHARACTERS_MAX = 256

_USERNAME = re.compile(r"[A-Za-z0-9_.-]{3,64}")
_EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f]{1,64}@[^\s@.\x00-\x1f\x7f]{1,63}(\.[^\s@.\x00-\x1f\x7f]{1,63})+")


class Role(Enum):
    USER = "user"
    ANALYST = "analyst"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class User:
    """One account of a person. Times are milliseconds since the epoch."""

    id: str
    username: str
    email: str
    roles: frozenset[Role]
    password_hash: str = field(repr=False)
    created_ms: int
    credential_version: int = 1
    """Raised with each change of password: sessions and tokens of an older one are dead."""
    last_login_ms: int | None = None

    @property
    def username_key(self) -> str:
        return uniqueness_key(self.username)

    @property
    def email_key(self) -> str:
        return uniqueness_key(self.email)


class UserProblem(Enum):
    """Why an input cannot be a user's, in words for the person who typed it."""

    USERNAME = "3–64 characters out of A-Z a-z 0-9 _ . -"
    EMAIL = "not an e-mail address of at most 254 characters"
    PASSWORD_LENGTH = "8–256 characters"
    PASSWORD_CHARACTERS = "no NUL and no unpaired surrogates"

    @property
    def field(self) -> str:
        """The input it is about."""
        return self.name.partition("_")[0].lower()


def uniqueness_key(text: str) -> str:
    """What two names share when they are the same to a person: NFKC and case folding (Unicode 3.13)."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded)


def username_problems(username: str) -> tuple[UserProblem, ...]:
    return () if _USERNAME.fullmatch(username) else (UserProblem.USERNAME,)


def email_problems(email: str) -> tuple[UserProblem, ...]:
    """Plausibly formed, both as typed and as compared: only a message that arrives proves more."""
    plausible = len(email) <= EMAIL_CHARACTERS_MAX and is_well_formed(email)
    if plausible and _EMAIL.fullmatch(email) and _EMAIL.fullmatch(uniqueness_key(email)):
        return ()
    return (UserProblem.EMAIL,)


def password_problems(password: str) -> tuple[UserProblem, ...]:
    if not PASSWORD_CHARACTERS_MIN <= len(password) <= PASSWORD_CHARACTERS_MAX:
        return (UserProblem.PASSWORD_LENGTH,)
    if "\0" in password or not is_well_formed(password):
        return (UserProblem.PASSWORD_CHARACTERS,)
    return ()


def password_bytes(password: str) -> bytes:
    """What is hashed: NFC, so that every keyboard types the same password (RFC 8265, OpaqueString)."""
    return unicodedata.normalize("NFC", password).encode()


def is_well_formed(text: str) -> bool:
    """Whether it has no lone surrogate, which JSON can carry and UTF-8 cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
