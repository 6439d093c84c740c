"""Network addresses, and the name under which each is counted."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

UNKNOWN = "unknown"
"""Under which a peer without an address is counted (a Unix socket)."""

ADDRESS_LENGTH_MAX = 45
IPV6_COUNTED_BITS = 64
"""A customer of most providers gets a whole /64: counting by address would count nobody."""
IPV6_NETWORK_BITS = 56
"""What a provider should give a household at least (RIPE-690, 4.2): 256 /64s to be banned from in turn."""
IPV6_PREFIX_BITS = frozenset({IPV6_COUNTED_BITS, IPV6_NETWORK_BITS})
"""Networks that can be named as a whole: what is counted, and what several of them escalate to."""


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """An IP address without port or zone; IPv4-mapped IPv6 (RFC 4291, 2.5.5.2) is IPv4."""
    if len(text) > ADDRESS_LENGTH_MAX:
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return IPv6Address(int(address))
        return address.ipv4_mapped or address
    return address


def counted_as(address: IPv4Address | IPv6Address) -> str:
    """IPv4 by itself, IPv6 by its /64."""
    if isinstance(address, IPv4Address):
        return str(address)
    prefix = int(address) >> IPV6_COUNTED_BITS << IPV6_COUNTED_BITS
    return f"{IPv6Address(prefix)}/{IPV6_COUNTED_BITS}"


def counted_name(text: str) -> str | None:
    """What an operator may have meant by this text: an address, a network that is counted as one, or
    `unknown`; None when it is none of them."""
    if text == UNKNOWN:
        return UNKNOWN
    written, slash, bits = text.partition("/")
    address = parse_address(written)
    if address is None:
        return None
    if not slash:
        return counted_as(address)
    if isinstance(address, IPv4Address):
        return str(address) if bits == "32" and ":" not in written else None
    if bits not in {str(known) for known in IPV6_PREFIX_BITS}:
        return None
    return str(IPv6Network((int(address), int(bits)), strict=False))


def neighbourhood(counted: str) -> str:
    """The /24 or /48 that a counted address lies in: about one customer or site of a provider."""
    address = parse_address(counted.partition("/")[0])
    if address is None:
        return counted
    if isinstance(address, IPv4Address):
        return str(IPv4Network((int(address), 24), strict=False))
    return str(IPv6Network((int(address), 48), strict=False))
