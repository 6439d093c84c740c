"""Network addresses, and the name under which each is counted.

An IPv6 address that embeds an IPv4 address counts as that IPv4 address: a client behind a translator or a
tunnel is the same client in either family. `docs/addresses.md` lists the forms, their origins and who could
forge them.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, NamedTuple

UNKNOWN = "unknown"
"""The name of a peer without an address, on a Unix socket."""

ADDRESS_LENGTH_MAX = 45
ZONE_LENGTH_MAX = 16
"""`%` and the name of a network interface (Linux's IFNAMSIZ)."""
IPV6_COUNTED_BITS = 64
"""Most providers give a customer a whole /64, so that counting by address would be pointless."""
IPV6_NETWORK_BITS = 56
"""The least that a provider should give a household (RIPE-690, 4.2): 256 /64s to be banned in turn."""
IPV6_PREFIX_BITS = frozenset({IPV6_COUNTED_BITS, IPV6_NETWORK_BITS})
"""The sizes of networks that can be named: the counted one, and the one that several of them escalate to."""

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_IPV4_BITS, _IPV6_BITS = 32, 128
_IPV4_MASK = (1 << _IPV4_BITS) - 1


class _Form(NamedTuple):
    """One form of an IPv6 address that embeds an IPv4 address."""

    prefix: int
    """The leading bits of an address of this form."""
    bits: int
    """The number of leading bits."""
    begins: int
    """The number of bits before the IPv4 address."""
    is_inverted: bool
    never: tuple[tuple[int, int], ...]
    """Ranges of IPv4 addresses that this form cannot embed: with one of them, the address is plain IPv6."""

    def holds(self, number: int, bits: int = _IPV6_BITS) -> bool:
        """Whether an address, or all of a network with this many bits, has this form."""
        return bits >= self.bits and number >> (_IPV6_BITS - self.bits) == self.prefix

    def inside(self, number: int) -> int:
        """The embedded IPv4 address."""
        written = number >> (_IPV6_BITS - self.begins - _IPV4_BITS) & _IPV4_MASK
        return written ^ _IPV4_MASK if self.is_inverted else written

    def cannot_hold(self, first: int, last: int) -> bool:
        return any(low <= first and last <= high for low, high in self.never)


def _form(
    network: str, *, begins: int, is_inverted: bool = False, never: tuple[IPv4Network, ...] = ()
) -> _Form:
    written = IPv6Network(network)
    prefix = int(written.network_address) >> (_IPV6_BITS - written.prefixlen)
    ranges = tuple((int(each[0]), int(each[-1])) for each in never)
    return _Form(prefix, written.prefixlen, begins, is_inverted, ranges)


_NO_HOST: Final = IPv4Network("0.0.0.0/8")
"""No host's address (RFC 1122, 3.2.1.3), so that `::` and `::1` embed none."""
_NOT_PUBLIC: Final = tuple(
    IPv4Network(each)
    for each in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/4", "240.0.0.0/4"),
    )
)
"""Addresses that relays of 6to4 and Teredo must not carry (RFC 3056, 9; RFC 3964; RFC 4380, 5.4). A packet
with one is forged, and must not pass for a proxy or a host of the own network."""

_FORMS: Final = (
    _form("::ffff:0:0/96", begins=96),  # IPv4-mapped: RFC 4291, 2.5.5.2
    _form("64:ff9b::/96", begins=96, never=(_NO_HOST,)),  # NAT64, the well-known prefix: RFC 6052, 2.1
    _form("::ffff:0:0:0/96", begins=96, never=(_NO_HOST,)),  # IPv4-translated: RFC 2765, 2.1
    _form("::/96", begins=96, never=(_NO_HOST,)),  # IPv4-compatible: RFC 4291, 2.5.5.1
    _form("2002::/16", begins=16, never=_NOT_PUBLIC),  # 6to4: RFC 3056, 2
    _form("2001::/32", begins=96, is_inverted=True, never=_NOT_PUBLIC),  # Teredo: RFC 4380, 4
)
_LOCAL_NAT64: Final = IPv6Network("64:ff9b:1::/48")
"""The range of prefixes for the translators of a network (RFC 8215)."""
_LOCAL_NAT64_SHIFT: Final = _IPV6_BITS - _LOCAL_NAT64.prefixlen
_LOCAL_NAT64_PREFIX: Final = int(_LOCAL_NAT64.network_address) >> _LOCAL_NAT64_SHIFT


def identity_of(address: Address) -> Address:
    """The address that stands for all its spellings: without a zone, and IPv4 where it embeds one."""
    if isinstance(address, IPv4Address):
        return address
    number = int(address)
    plain = IPv6Address(number)
    for form in _FORMS:
        if form.holds(number):
            written = form.inside(number)
            return plain if form.cannot_hold(written, written) else IPv4Address(written)
    if number >> _LOCAL_NAT64_SHIFT == _LOCAL_NAT64_PREFIX:
        return _locally_translated(plain) or plain
    return plain


def network_identity_of(network: Network) -> Network:
    """`identity_of` for every address of a network: an IPv4 network where each address embeds one.

    A prefix without a bit of the IPv4 address (`64:ff9b::/96`) means all of IPv4. A network of more than one
    form (`::/0`) means its IPv6 addresses, and no IPv4 address.
    """
    if isinstance(network, IPv4Network):
        return network
    number, bits = int(network.network_address), network.prefixlen
    plain = IPv6Network((number, bits))
    for form in _FORMS:
        if form.holds(number, bits):
            fixed = min(max(0, bits - form.begins), _IPV4_BITS)
            embedded = IPv4Network((form.inside(number), fixed), strict=False)
            return plain if form.cannot_hold(int(embedded[0]), int(embedded[-1])) else embedded
    if not plain.subnet_of(_LOCAL_NAT64):
        return plain
    if bits < _IPV6_BITS:
        return IPv4Network((number & _IPV4_MASK, max(0, bits - 96)), strict=False)
    address = _locally_translated(plain.network_address)
    return plain if address is None else IPv4Network(address)


def _locally_translated(address: IPv6Address) -> IPv4Address | None:
    """The embedded IPv4 address behind a local prefix of 48, 56, 64 or 96 bits, of unknown length.

    The bits after the IPv4 address are zero (RFC 6052, 2.2), and hardly any host's address ends in 0. So the
    last octet that is not zero is the last one of the IPv4 address.
    """
    octets = address.packed
    last = max(place for place, octet in enumerate(octets) if octet)
    match last:
        case 13 | 14 | 15:
            written = octets[12:]
        case 12:
            written = octets[9:13]
        case 11:
            written = octets[7:8] + octets[9:12]
        case 10:
            written = octets[6:8] + octets[9:11]
        case _:
            return None
    if last <= 12 and octets[8]:
        # Octet 8 is always zero: before the address, or between its halves (RFC 6052, 2.2).
        return None
    embedded = IPv4Address(written)
    return None if embedded in _NO_HOST else embedded


def parse_address(text: str) -> Address | None:
    """The identity of the address that a text without a port names; None for any other text."""
    if len(text) > ADDRESS_LENGTH_MAX + ZONE_LENGTH_MAX:
        return None
    try:
        return identity_of(ip_address(text))
    except ValueError:
        return None


def parse_network(text: str) -> Network:
    """The identity of the address or network that a text names. Raises `ValueError` for any other text, and
    for a network with bits beyond its prefix."""
    return network_identity_of(ip_network(text))


def counted_as(address: Address) -> str:
    """The counted name of an identity: an IPv4 address itself, or the /64 of an IPv6 address."""
    if isinstance(address, IPv4Address):
        return str(address)
    prefix = int(address) >> IPV6_COUNTED_BITS << IPV6_COUNTED_BITS
    return f"{IPv6Address(prefix)}/{IPV6_COUNTED_BITS}"


def counted_name(text: str) -> str | None:
    """The counted name that an operator means by a text: of an address, of a network that is counted as one,
    or `unknown`. None for any other text."""
    if text == UNKNOWN:
        return UNKNOWN
    written, slash, bits = text.partition("/")
    if not slash:
        address = parse_address(written)
        return None if address is None else counted_as(address)
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return None
    if bits != str(network.prefixlen):
        return None
    meant = network_identity_of(network)
    if meant.prefixlen == _IPV4_BITS and isinstance(meant, IPv4Network):
        return str(meant.network_address)
    # A network of more than one IPv4 address keeps its own name, under which there may be a former ban.
    if isinstance(network, IPv4Network) or network.prefixlen not in IPV6_PREFIX_BITS:
        return None
    return str(IPv6Network((int(network.network_address), network.prefixlen)))


def neighbourhood(counted: str) -> str:
    """The /24 or /48 of a counted address: about one site of a provider."""
    address = parse_address(counted.partition("/")[0])
    if address is None:
        return counted
    if isinstance(address, IPv4Address):
        return str(IPv4Network((int(address), 24), strict=False))
    return str(IPv6Network((int(address), 48), strict=False))
