"""Who is counted and banned."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


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
