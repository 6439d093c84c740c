"""Whose request it is, as far as the network tells."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.asgi.client_address import AddressRules, ClientAddress
from domain.addresses import Network

Address = IPv4Address | IPv6Address

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
        # Some proxies write ports.
        ("10.0.0.1", ["198.51.100.1:443"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8:1:2::9]:443"], "2001:db8:1:2::/64"),
        ("10.0.0.1", ["198.51.100.1:"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1:123456"], "10.0.0.1"),
        ("10.0.0.1", ["[198.51.100.1"], "10.0.0.1"),
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
    # The second answer may come from memory.
    assert [rules.client(peer, values).counted for _ in range(2)] == [counted, counted]


def test_what_is_remembered_of_one_chain_is_told_of_no_other() -> None:
    rules = AddressRules(trusted_proxies=PROXIES)
    for _ in range(2):
        assert rules.client("10.0.0.1", [b"198.51.100.1"]).counted == "198.51.100.1"
        assert rules.client("10.0.0.1", [b"198.51.100.2"]).counted == "198.51.100.2"
        assert rules.client("10.0.0.1", [], [b"for=198.51.100.3"]).counted == "198.51.100.3"
        assert rules.client("10.0.0.1", [b"garbage"]).counted == "10.0.0.1"
        assert rules.client("10.0.0.2", [b"garbage"]).counted == "10.0.0.2"
        assert rules.client("203.0.113.9", [b"198.51.100.1"]).counted == "203.0.113.9"


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


@pytest.mark.parametrize(
    ("forwarded", "counted"),
    [
        (["for=198.51.100.1"], "198.51.100.1"),
        (["For=198.51.100.1; Proto=https ;by=10.0.0.1"], "198.51.100.1"),
        (['for="198.51.100.1:4711"'], "198.51.100.1"),
        (['for="[2001:db8:1:2::9]"'], "2001:db8:1:2::/64"),
        (['for="[2001:db8:1:2::9]:4711";proto=http'], "2001:db8:1:2::/64"),
        (['for="[::ffff:198.51.100.1]"'], "198.51.100.1"),
        (["for=1.1.1.1, for=198.51.100.1"], "198.51.100.1"),
        (["for=1.1.1.1", 'for="198.51.100.1", for=10.2.3.4'], "198.51.100.1"),
        (["for=10.0.0.3, for=10.0.0.2"], "10.0.0.3"),
        # Nobody is named, or not by an address: the peer.
        (["for=unknown"], "10.0.0.1"),
        (["for=_hidden, for=10.0.0.2"], "10.0.0.1"),
        (["proto=https"], "10.0.0.1"),
        (["for=198.51.100.1;for=198.51.100.2"], "10.0.0.1"),
        (["for=198.51.100.1, "], "10.0.0.1"),
        (["for=198.51.100.1;"], "10.0.0.1"),
        (["for=198.51.100.1 for=1.1.1.1"], "10.0.0.1"),
        (["for = 198.51.100.1"], "10.0.0.1"),
        (['for="198.51.100.1'], "10.0.0.1"),
        (['for="198\\.51.100.1"'], "10.0.0.1"),
        (["for=2001:db8:1:2::9"], "10.0.0.1"),
        (['for="2001:db8:1:2::9"'], "10.0.0.1"),
        # An open quote further out swallows nothing of what a proxy has written.
        (['for="1.1.1.1, for=198.51.100.1'], "198.51.100.1"),
        (['for="1.1.1.1, for="[2001:db8:1:2::9]:1"'], "2001:db8:1:2::/64"),
        (['for=1.1.1.1;x=", for=198.51.100.1;host="service.example"'], "198.51.100.1"),
        # What leads nowhere beyond the first untrusted hop is nobody's word anyway.
        (["for=unknown, for=198.51.100.1"], "198.51.100.1"),
    ],
)
def test_the_standard_header_is_read_from_the_right_too(forwarded: list[str], counted: str) -> None:
    rules = AddressRules(trusted_proxies=PROXIES)
    values = [value.encode() for value in forwarded]
    assert rules.client("10.0.0.1", (), values).counted == counted
    assert rules.client("203.0.113.9", (), values).counted == "203.0.113.9"


@pytest.mark.parametrize(
    ("forwarded_for", "forwarded", "counted"),
    [
        ("198.51.100.1", "for=198.51.100.1", "198.51.100.1"),
        ("1.1.1.1, 198.51.100.1", "for=2.2.2.2, for=198.51.100.1, for=10.0.0.2", "198.51.100.1"),
        ("2001:db8:1:2::9", 'for="[2001:db8:1:2::8]"', "2001:db8:1:2::/64"),
        # A client sent the one that its proxy does not write: whose word is which cannot be told.
        ("198.51.100.1", "for=1.1.1.1", "10.0.0.1"),
        ("1.1.1.1", "for=198.51.100.1", "10.0.0.1"),
        ("198.51.100.1", "for=unknown", "10.0.0.1"),
        ("", "for=198.51.100.1", "10.0.0.1"),
    ],
)
def test_where_both_headers_are_there_both_must_name_one_address(
    forwarded_for: str, forwarded: str, counted: str
) -> None:
    rules = AddressRules(trusted_proxies=PROXIES)
    assert rules.client("10.0.0.1", [forwarded_for.encode()], [forwarded.encode()]).counted == counted


def test_nobody_gains_an_exemption_by_spoiling_a_header() -> None:
    rules = AddressRules(trusted_proxies=PROXIES, allowlist=PROXIES)
    assert not rules.client("10.0.0.1", [b"garbage"]).exempt
    assert not rules.client("10.0.0.1", (), [b"for=unknown"]).exempt
    assert not rules.client("10.0.0.1", [b"198.51.100.1"], [b"for=10.0.0.2"]).exempt


def test_a_client_behind_a_proxy_is_exempt_by_its_own_address_only() -> None:
    rules = AddressRules(trusted_proxies=PROXIES, allowlist=PROXIES)
    assert not rules.client("10.0.0.1", [b"198.51.100.1"]).exempt
    assert rules.client("10.0.0.1", []).exempt


CHUNKS = st.lists(
    st.sampled_from(
        [
            "for=",
            "for=10.0.0.2",
            "10.0.0.2",
            "1.1.1.1",
            '"',
            ",",
            ", ",
            ";",
            "\\",
            "[::1]",
            ":",
            "unknown",
            "x",
        ]
    )
).map("".join)
VALUES = st.lists(st.one_of(st.binary(max_size=60), CHUNKS.map(str.encode)), max_size=4)


def _is_outside(address: Address) -> bool:
    judged = AddressRules(trusted_proxies=PROXIES)._judge(str(address))
    return judged is not None and not judged.trusted


OUTSIDE: st.SearchStrategy[Address] = st.one_of(
    st.ip_addresses(v=4),
    st.ip_addresses(v=6, network="2000::/4"),
    st.ip_addresses(v=6, network="::ffff:0:0/96"),
).filter(_is_outside)
RULES = AddressRules(trusted_proxies=PROXIES, allowlist=[ip_network("10.0.0.0/8")])


@given(VALUES, VALUES, st.text(max_size=50))
def test_no_header_and_no_peer_breaks_it(
    forwarded_for: list[bytes], forwarded: list[bytes], peer: str
) -> None:
    assert RULES.client("10.0.0.1", forwarded_for, forwarded).counted
    assert RULES.client(peer, forwarded_for, forwarded).counted


@given(OUTSIDE, VALUES, VALUES)
def test_an_untrusted_peer_s_headers_never_change_anything(
    peer: object, forwarded_for: list[bytes], forwarded: list[bytes]
) -> None:
    assert RULES.client(str(peer), forwarded_for, forwarded) == RULES.client(str(peer))


@given(OUTSIDE, VALUES, VALUES, st.booleans(), st.booleans(), st.integers(0, 3))
def test_who_writes_the_left_of_a_chain_chooses_nothing(
    client: Address, left: list[bytes], other: list[bytes], is_standard: bool, adds_port: bool, proxies: int
) -> None:
    """A proxy appends the address that it sees; more proxies append each other's. The client wrote the
    rest, and all of the header that the proxies do not write."""
    text = str(client)
    if is_standard:
        node = f"[{text}]" if client.version == 6 else text
        entry = f'for="{node}:4711";proto=https' if adds_port else f'for="{node}"'
        chain = [entry, *["for=10.0.0.2"] * proxies]
    else:
        chain = [text, *["10.0.0.2"] * proxies]
    written = ", ".join(chain).encode()
    # Some proxies append to the last line, others add a line of their own.
    for values in ([*left, written], [*left[:-1], b", ".join([*left[-1:], written])]):
        headers = ((), values) if is_standard else (values, ())
        assert RULES.client("10.0.0.1", *headers) == RULES.client(text)
        both = (other, values) if is_standard else (values, other)
        found = RULES.client("10.0.0.1", *both)
        assert found in (RULES.client(text), ClientAddress("10.0.0.1", exempt=False))
