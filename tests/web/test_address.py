"""Whose request it is, as far as the network tells."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.web.address import AddressRules, Network

PROXIES: tuple[Network, ...] = (
    ip_network("10.0.0.0/8"),
    ip_network("2001:db8:ffff::/48"),
)


@pytest.mark.parametrize(
    ("peer", "counted"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("::ffff:cb00:7109", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:DB8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        (None, "unknown"),
        ("", "unknown"),
        ("/run/service.sock", "unknown"),
        ("010.0.0.1", "unknown"),
    ],
)
def test_an_address_is_counted_as_a_customer_gets_it(peer: str | None, counted: str) -> None:
    assert AddressRules().client(peer, ()).counted == counted


@pytest.mark.parametrize(
    ("peer", "forwarded", "counted"),
    [
        # Nobody is believed who is not a configured proxy.
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("2001:db8:ffff::1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["2001:db8:1:2:3::1"], "2001:db8:1:2::/64"),
        ("10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        # From the right: what the client wrote itself stands to the left of the truth.
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1,198.51.100.1 , 10.2.3.4"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1", "10.9.9.9"], "198.51.100.1"),
        # All of them ours: the one furthest out.
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        # Malformed: the peer, which is at least true.
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1:443"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, garbage"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1,"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, garbage, 10.0.0.2"], "10.0.0.1"),
        ("10.0.0.1", ["1" * 10_000], "10.0.0.1"),
        # Garbage beyond the first untrusted hop is nobody's word anyway.
        ("10.0.0.1", ["garbage, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", [", ".join(["10.0.0.2"] * 18)], "10.0.0.1"),
        ("10.0.0.1", [", ".join(["198.51.100.1"] + ["10.0.0.2"] * 16)], "198.51.100.1"),
    ],
)
def test_forwarded_addresses_are_read_from_the_right(peer: str, forwarded: list[str], counted: str) -> None:
    rules = AddressRules(trusted_proxies=PROXIES)
    values = [value.encode() for value in forwarded]
    assert rules.client(peer, values).counted == counted


@pytest.mark.parametrize(
    ("peer", "exempt"),
    [
        ("192.0.2.1", True),
        ("::ffff:192.0.2.1", True),
        ("192.0.3.1", False),
        ("2001:db8:a::1", True),
        ("2001:db8:b::1", False),
    ],
)
def test_allow_listed_networks_are_exempt(peer: str, exempt: bool) -> None:
    rules = AddressRules(allowlist=[ip_network("192.0.2.0/24"), ip_network("2001:db8:a::/48")])
    assert rules.client(peer, ()).exempt is exempt


def test_a_client_behind_a_proxy_is_exempt_by_its_own_address_only() -> None:
    rules = AddressRules(trusted_proxies=PROXIES, allowlist=PROXIES)
    assert not rules.client("10.0.0.1", [b"198.51.100.1"]).exempt
    assert rules.client("10.0.0.1", []).exempt


@given(st.lists(st.binary(max_size=60), max_size=4), st.text(max_size=50))
def test_no_header_and_no_peer_breaks_it(forwarded: list[bytes], peer: str) -> None:
    rules = AddressRules(trusted_proxies=PROXIES)
    assert rules.client("10.0.0.1", forwarded).counted
    assert rules.client(peer, forwarded).counted


@given(st.ip_addresses(v=4), st.ip_addresses())
def test_whoever_is_not_a_proxy_cannot_choose_its_name(peer: object, claimed: object) -> None:
    text = str(peer)
    counted = AddressRules(trusted_proxies=[ip_network("0.0.0.0/32")]).client(text, [str(claimed).encode()])
    assert text in ("0.0.0.0", counted.counted)
