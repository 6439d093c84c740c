"""Who is counted and banned."""

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
        """By hand, at least. Anybody can type an account name: banning it would punish its owner for a
        stranger."""
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


def network_of(identifier: Identifier) -> Identifier | None:
    """The /56 of `2001:db8:1:2::/64` is `2001:db8:1::/56`; None for all that does not count by /64."""
    if identifier.type is not IdentifierType.IP or ":" not in identifier.value:
        return None
    return _wider(identifier.value)


def is_network(identifier: Identifier) -> bool:
    """Whether it is a /56, as `network_of` gives them."""
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
