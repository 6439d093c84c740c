"""Who is counted, by which policies, and what the answer is: the words of the guard.

A decision looks at every identifier of a request at once and is all-or-nothing: a refused request
consumes nothing anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from domain.ratelimit import Policy


class IdentifierType(Enum):
    IP = "ip"
    USER = "user"
    API_KEY = "api_key"
    ACCOUNT_NAME = "account_name"


@dataclass(frozen=True, slots=True)
class Identifier:
    """Somebody who can be counted and banned, by a verified name or by an address."""

    type: IdentifierType
    value: str


@dataclass(frozen=True, slots=True)
class Charge:
    """One identifier counted under one policy."""

    identifier: Identifier
    policy: Policy
    cost: int = 1


class Verdict(Enum):
    """In order of precedence: the first that applies is the answer."""

    BANNED = "banned"
    REVOKED = "revoked"
    QUOTA_EXCEEDED = "quota_exceeded"
    ALLOWED = "allowed"


@dataclass(frozen=True, slots=True)
class Standing:
    """How one charge stands after the decision."""

    charge: Charge
    remaining: int
    reset_ms: int
    """Until the window is whole again, in milliseconds."""


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer to one request."""

    verdict: Verdict
    retry_after_ms: int = 0
    """The first moment at which the same request would pass; 0 when it passed."""
    identifier: Identifier | None = None
    """Who is over the limit or banned."""
    standings: tuple[Standing, ...] = ()
    newly_banned: bool = False
    """This very request caused the ban."""
