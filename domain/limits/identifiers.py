"""Identifiers: what requests are counted by and bans apply to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from ipaddress import IPv6Network

from domain.addresses import IPV6_COUNTED_BITS, IPV6_NETWORK_BITS, counted_name
from domain.identity.users import EMAIL_CHARACTERS_MAX, is_well_formed, uniqueness_key
from domain.ids import is_id

NETWORKS_CACHED_MAX = 16_384


class IdentifierType(Enum):
    IP = "ip"
    USER = "user"
    API_KEY = "api_key"
    ACCOUNT_NAME = "account_name"

    @property
    def bannable(self) -> bool:
        """Whether it can be banned, at least by hand. Any client can type the account name of another."""
        return self is not IdentifierType.ACCOUNT_NAME


@dataclass(frozen=True, slots=True)
class Identifier:
    """A verified name or an address, by which requests are counted and banned."""

    type: IdentifierType
    value: str

    def __hash__(self) -> int:
        # Called many times in a decision; the generated method would hash the enum member as well, in Python.
        return hash(self.value)


class IdentifierProblem(Enum):
    """Why a text is no identifier of its type, worded for operators."""

    IP = "neither an IP address nor an IPv6 network of 64 or 56 bits"
    USER = "not a user's id"
    API_KEY = "not an API key's id"
    ACCOUNT_NAME = "not a username or e-mail address of at most 254 characters"


def identify(kind: IdentifierType, text: str) -> Identifier | IdentifierProblem:
    """The identifier that a text names, under its counted name: an IPv6 address stands for its /64."""
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


def network_of(identifier: Identifier) -> Identifier | None:
    """The /56 of an IPv6 identifier, such as `2001:db8:1::/56` of `2001:db8:1:2::/64`; None for any other."""
    if identifier.type is not IdentifierType.IP or ":" not in identifier.value:
        return None
    return _wider(identifier.value)


def is_network(identifier: Identifier) -> bool:
    """Whether an identifier is a /56, as `network_of` returns."""
    return identifier.type is IdentifierType.IP and identifier.value.endswith(f"/{IPV6_NETWORK_BITS}")


@lru_cache(maxsize=NETWORKS_CACHED_MAX)
def _wider(value: str) -> Identifier | None:
    try:
        network = IPv6Network(value)
    except ValueError:
        return None
    if network.prefixlen != IPV6_COUNTED_BITS:
        return None
    return Identifier(IdentifierType.IP, str(network.supernet(new_prefix=IPV6_NETWORK_BITS)))
