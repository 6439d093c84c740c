"""One address, one identity: whatever it is written in, and by whom it is carried."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from domain.addresses import (
    Network,
    counted_as,
    counted_name,
    identity_of,
    neighbourhood,
    network_identity_of,
    parse_address,
    parse_network,
)
from domain.limits.identifiers import Identifier, IdentifierProblem, IdentifierType, identify, network_of

CLIENT = IPv4Address("192.0.2.1")
NOT_PUBLIC = [
    IPv4Network(each)
    for each in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/4", "240.0.0.0/4"),
    )
]


def joined(prefix: str, number: int = 0) -> IPv6Address:
    return IPv6Address(int(IPv6Address(prefix)) | number)


def locally_translated(prefix: str, bits: int, client: IPv4Address) -> IPv6Address:
    """RFC 6052, 2.2: the address stands after the prefix, and octet 8 (counted from 0) is skipped."""
    octets = bytearray(IPv6Address(prefix).packed)
    place = bits // 8
    for octet in client.packed:
        if place == 8:
            place += 1
        octets[place] = octet
        place += 1
    return IPv6Address(bytes(octets))


def teredo(client: IPv4Address, *, server: int = 0x41378E5A, flags: int = 0x8000, port: int = 40_000) -> int:
    return server << 64 | flags << 48 | (port ^ 0xFFFF) << 32 | (int(client) ^ 0xFFFF_FFFF)


LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
CARRIED = ("::ffff:0:0", "64:ff9b::", "::ffff:0:0:0", "::", "64:ff9b:1::", "64:ff9b:1:fffe::")
"""Prefixes of 96 bits that the IPv4 address follows."""

HOSTS = st.ip_addresses(v=4).filter(lambda address: address not in NOT_PUBLIC[0])
PUBLIC = st.ip_addresses(v=4).filter(lambda address: all(address not in each for each in NOT_PUBLIC))
LAST_OCTET_COUNTS = HOSTS.filter(lambda address: int(address) & 0xFF != 0)
NEAR_A_FORM = st.one_of(
    *(st.ip_addresses(v=6, network=prefix) for prefix in (
        *("::/64", "::/96", "64:ff9b::/32", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16"),
        *("::ffff:0:0/96", "::ffff:0:0:0/96", "2001:db8::/32", "fe80::/64"),
    )),
    st.ip_addresses(v=6),
    st.ip_addresses(v=4),
)  # fmt: skip
BITS = st.integers(0, 2**128 - 1)


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:C000:0201", "192.0.2.1"),
        ("0:0:0:0:0:ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1%eth0", "192.0.2.1"),
        ("64:ff9b::192.0.2.1", "192.0.2.1"),
        ("64:ff9b::c000:201", "192.0.2.1"),
        ("0064:ff9b:0:0:0:0:c000:201", "192.0.2.1"),
        ("::ffff:0:192.0.2.1", "192.0.2.1"),
        ("::192.0.2.1", "192.0.2.1"),
        ("::c000:201", "192.0.2.1"),
        ("2002:c000:201::", "192.0.2.1"),
        ("2002:c000:201:7:8::9", "192.0.2.1"),
        # RFC 4380, 2: server 65.55.158.90, client 192.0.2.45 at port 40000. The port is not part of it.
        ("2001:0:4137:9e5a:8000:63bf:3fff:fdd2", "192.0.2.45"),
        ("2001:0:4137:9e5a:0:ffff:3fff:fdd2", "192.0.2.45"),
        # RFC 8215: what the prefix of the network's own translator is cannot be seen.
        ("64:ff9b:1::192.0.2.1", "192.0.2.1"),
        ("64:ff9b:1:fffe::192.0.2.1", "192.0.2.1"),
        ("64:ff9b:1:c000:2:100::", "192.0.2.1"),
        ("64:ff9b:1:c0:0:201::", "192.0.2.1"),
        ("64:ff9b:1:0:c0:2:100:0", "192.0.2.1"),
        # A translator's own hosts, which no relay on the Internet is between.
        ("64:ff9b::10.0.0.1", "10.0.0.1"),
        ("64:ff9b:1::10.0.0.1", "10.0.0.1"),
        ("::127.0.0.1", "127.0.0.1"),
        # No host's address, so no IPv4 address at all.
        ("::", "::/64"),
        ("::1", "::/64"),
        ("0:0:0:0:0:0:0:1", "::/64"),
        ("64:ff9b::1", "64:ff9b::/64"),
        ("64:ff9b:1::", "64:ff9b:1::/64"),
        ("64:ff9b:1:c000:1ff:201::", "64:ff9b:1:c000::/64"),
        # What no relay of 6to4 or Teredo may carry: forged, so it names nobody of the own network.
        ("2002:a00:1::1", "2002:a00:1::/64"),
        ("2002:7f00:1::1", "2002:7f00:1::/64"),
        ("2001:0:4137:9e5a:8000:63bf:f5ff:fffe", "2001:0:4137:9e5a::/64"),
        # Not a form: an interface's id is chosen by whoever has the /64 (ISATAP, RFC 5214).
        ("2001:db8::5efe:192.0.2.1", "2001:db8::/64"),
        ("64:ff9b:2::192.0.2.1", "64:ff9b:2::/64"),
        ("2001:1::192.0.2.1", "2001:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("fe80::1%0", "fe80::/64"),
    ],
)
def test_what_an_address_is_counted_as(text: str, counted: str) -> None:
    assert counted_name(text) == counted
    address = parse_address(text)
    assert address is not None
    assert counted_as(address) == counted
    assert identify(IdentifierType.IP, text) == Identifier(IdentifierType.IP, counted)


@pytest.mark.parametrize(
    "text",
    [
        *("", " 192.0.2.1", "192.0.2.1 ", "192.0.2", "192.0.2.1.1", "010.0.0.1", "0x7f.1", "3221225985"),
        *("[::1]", "::1%", "fe80::1%a%b", "64:ff9b::192.0.2.256", "64:ff9b::192.0.02.1", "::ffff:1.2.3"),
        *("192.0.2.1/24", "192.0.2.1/032", "2001:db8::/48", "2001:db8::/128", "64:ff9b::/96", "2002::/16"),
        *("192.0.2.1/255.255.255.255", "2001:db8::/", "/64", "192.0.2.1:80", "fe80::1%" + "e" * 64),
    ],
)
def test_what_is_no_address_and_no_network_that_counts_as_one_names_nobody(text: str) -> None:
    assert counted_name(text) is None
    assert identify(IdentifierType.IP, text) is IdentifierProblem.IP


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("192.0.2.1/32", "192.0.2.1"),
        ("::ffff:192.0.2.1/128", "192.0.2.1"),
        ("64:ff9b::192.0.2.1/128", "192.0.2.1"),
        ("64:ff9b:1:c000:2:100::/128", "192.0.2.1"),
        # All of a 6to4 site is one host's.
        ("2002:c000:201::/48", "192.0.2.1"),
        ("2002:c000:201::/56", "192.0.2.1"),
        ("2002:c000:201:7::/64", "192.0.2.1"),
        ("2001:db8:1:2::/64", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9/56", "2001:db8:1::/56"),
        # Under such names bans stand that were made before these were known to be IPv4 addresses.
        ("64:ff9b::/64", "64:ff9b::/64"),
        ("2001:0:4137:9e5a::/64", "2001:0:4137:9e5a::/64"),
    ],
)
def test_networks_that_can_be_named(text: str, counted: str) -> None:
    assert counted_name(text) == counted


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("64:ff9b::192.0.2.0/120", "192.0.2.0/24"),
        ("64:ff9b:1:fffe::192.0.2.0/120", "192.0.2.0/24"),
        ("64:ff9b::c000:201", "192.0.2.1/32"),
        ("2002:c000:200::/40", "192.0.2.0/24"),
        ("2002:c000:201::/48", "192.0.2.1/32"),
        ("2001:0:4137:9e5a:8000:63bf:3fff:fd00/120", "192.0.2.0/24"),
        # All of a form, however much of it is not the IPv4 address.
        ("64:ff9b::/96", "0.0.0.0/0"),
        ("64:ff9b:1::/48", "0.0.0.0/0"),
        ("2002::/16", "0.0.0.0/0"),
        ("2001:0:4137:9e5a::/64", "0.0.0.0/0"),
        ("2002:8000::/17", "128.0.0.0/1"),
        # Addresses that are of no form, or of several: IPv6 only.
        ("::1", "::1/128"),
        ("2002:a00::/24", "2002:a00::/24"),
        ("::/0", "::/0"),
        ("2000::/3", "2000::/3"),
        ("64:ff9b::/32", "64:ff9b::/32"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("fe80::%eth0/64", "fe80::/64"),
    ],
)
def test_what_a_network_in_a_setting_means(text: str, meant: str) -> None:
    assert parse_network(text) == ip_network(meant)


def test_a_network_with_bits_beyond_its_prefix_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="host bits"):
        parse_network("64:ff9b::192.0.2.1/120")


@given(NEAR_A_FORM)
def test_an_identity_is_its_own_and_so_is_the_name_that_it_is_counted_under(
    address: IPv4Address | IPv6Address,
) -> None:
    identity = identity_of(address)
    counted = counted_as(identity)
    assert identity_of(identity) == identity
    assert counted_name(counted) == counted
    assert counted_name(str(address)) == counted
    assert neighbourhood(counted)
    network = network_of(Identifier(IdentifierType.IP, counted))
    if network is not None:
        assert counted_name(network.value) == network.value


@given(NEAR_A_FORM.filter(lambda address: address.version == 6))
def test_all_spellings_have_one_identity(address: IPv6Address) -> None:
    low = int(address) & 0xFFFF_FFFF
    dotted = f"{address.exploded.rpartition(':')[0].rpartition(':')[0]}:{IPv4Address(low)}"
    spellings = {
        *(str(address), address.exploded, address.exploded.upper(), dotted, dotted.upper()),
        *(f"{address}%eth0", f"{address}%1"),
    }
    assert {parse_address(spelling) for spelling in spellings} == {identity_of(address)}


@given(HOSTS, st.sampled_from(CARRIED))
def test_a_translated_address_is_the_ipv4_address(client: IPv4Address, prefix: str) -> None:
    assume(prefix[:9] != "64:ff9b:1" or int(client) & 0xFF_FFFF)
    assert identity_of(joined(prefix, int(client))) == client


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_the_ipv4_address_whatever_it_is(client: IPv4Address) -> None:
    assert identity_of(joined("::ffff:0:0", int(client))) == client


@given(LAST_OCTET_COUNTS, st.sampled_from([48, 56, 64, 96]))
def test_a_translator_s_own_prefix_is_told_by_where_the_address_ends(client: IPv4Address, bits: int) -> None:
    assert identity_of(locally_translated("64:ff9b:1::", bits, client)) == client


@given(PUBLIC, BITS)
def test_all_of_a_6to4_site_is_the_host_that_the_packets_go_to(client: IPv4Address, rest: int) -> None:
    assert identity_of(joined("2002::", int(client) << 80 | rest >> 48)) == client


@given(PUBLIC, BITS)
def test_a_teredo_client_is_the_host_that_the_packets_go_to(client: IPv4Address, rest: int) -> None:
    server, flags, port = rest & 0xFFFF_FFFF, rest >> 32 & 0xFFFF, rest >> 48 & 0xFFFF
    address = joined("2001::", teredo(client, server=server, flags=flags, port=port))
    assert identity_of(address) == client


@given(st.sampled_from(NOT_PUBLIC), BITS)
def test_a_tunnelled_address_never_is_one_of_the_own_network(network: IPv4Network, rest: int) -> None:
    client = network[rest % network.num_addresses]
    for address in (joined("2002::", int(client) << 80), joined("2001::", teredo(client))):
        assert identity_of(address) == address


@st.composite
def networks_and_members(draw: st.DrawFn) -> tuple[IPv6Network, IPv6Address]:
    member = draw(NEAR_A_FORM.filter(lambda address: address.version == 6))
    bits = draw(st.integers(0, 128))
    return IPv6Network((int(member), bits), strict=False), member


@given(networks_and_members())
@example((IPv6Network("64:ff9b::/96"), IPv6Address("64:ff9b::c000:201")))
def test_a_network_means_no_address_that_is_not_one_of_its_own(
    pair: tuple[IPv6Network, IPv6Address],
) -> None:
    """Who is in it is meant by it, unless it reaches beyond the form that its address is written in."""
    network, member = pair
    # Of a translator's own prefix, such a member is read as one of a shorter prefix: no host is called so.
    assume(member not in LOCAL_NAT64 or int(member) & 0xFF_FFFF)
    meant: Network = network_identity_of(network)
    identity = identity_of(member)
    assert network_identity_of(meant) == meant
    if meant.version == 4:
        # But for the forged and the nobodies among them, which are no IPv4 addresses.
        assert identity in meant or identity == member
    else:
        assert meant == network
        assert (identity in meant) == (identity.version == 6)
