"""Who is counted and banned."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from domain.addresses import counted_name
from domain.ids import is_id
from domain.users import EMAIL_CHARACTERS_MAX, is_well_formed, uniqueness_key


class IdentifierType(Enum):
    IP = "ip"
    USER = "user"
    API_KEY = "api_key"
    ACCOUNT_NAME = "account_name"

    @property
    def bannable(self) -> bool:
        """Anybody can type an account name: banning it would punish its owner for a stranger."""
        return self is not IdentifierType.ACCOUNT_NAME


@dataclass(frozen=True, slots=True)
class Identifier:
    """Somebody who can be counted and banned, by a verified name or by an address."""

    type: IdentifierType
    value: str

    def __hash__(self) -> int:
        # Looked up many times a decision; the generated one would hash the enum member, too, in Python.
        return hash(self.value)


class IdentifierProblem(Enum):
    """Why a text names nobody of its type, in words for an operator."""

    IP = "neither an IP address nor an IPv6 network of 64 or 56 bits"
    USER = "not a user's id"
    API_KEY = "not an API key's id"
    ACCOUNT_NAME = "not a username or e-mail address of at most 254 characters"


def identify(kind: IdentifierType, text: str) -> Identifier | IdentifierProblem:
    """Who is meant, under the name by which they are counted: an IPv6 address stands for its /64."""
    match kind:
        case IdentifierType.IP:
            counted = counted_name(text)
            return IdentifierProblem.IP if counted is None else Identifier(kind, counted)
        case IdentifierType.USER | IdentifierType.API_KEY:
            return Identifier(kind, text) if is_id(text) else IdentifierProblem[kind.name]
        case IdentifierType.ACCOUNT_NAME:
            if not 0 < len(text) <= EMAIL_CHARACTERS_MAX or not is_well_formed(text):
                return IdentifierProblem.ACCOUNT_NAME
            return Identifier(kind, uniqueness_key(text))
