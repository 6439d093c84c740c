"""Whose request it is, as far as the network tells: one address to count, or nobody.

Headers are believed only from configured proxies, and read from the right: each trusted proxy vouches
for the entry that it appended, and nothing left of the first untrusted one is anybody's word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from domain.addresses import UNKNOWN, counted_as, parse_address

Network = IPv4Network | IPv6Network

FORWARDED_HOPS_MAX = 16
CACHED_ADDRESSES_MAX = 4096


@dataclass(frozen=True, slots=True)
class ClientAddress:
    """An address by the name under which it is counted."""

    counted: str
    """`203.0.113.7`, `2001:db8:1:2::/64`, or `unknown` for a peer without one (a Unix socket)."""
    exempt: bool
    """In an allow-listed network: never counted."""


@dataclass(frozen=True, slots=True)
class _Judged:
    client: ClientAddress
    trusted: bool


class AddressRules:
    """Which peers are believed, and who is exempt. Judgements of recent addresses are remembered."""

    __slots__ = ("_judge",)

    def __init__(self, *, trusted_proxies: Sequence[Network] = (), allowlist: Sequence[Network] = ()) -> None:
        trusted = tuple(trusted_proxies)
        exempt = tuple(allowlist)

        @lru_cache(maxsize=CACHED_ADDRESSES_MAX)
        def judge(text: str) -> _Judged | None:
            address = parse_address(text)
            if address is None:
                return None
            client = ClientAddress(counted_as(address), _within(address, exempt))
            return _Judged(client, _within(address, trusted))

        self._judge = judge

    def client(self, peer: str | None, forwarded: Sequence[bytes]) -> ClientAddress:
        """`peer` as the server names it; `forwarded` are the values of X-Forwarded-For in order."""
        judged = None if peer is None else self._judge(peer)
        if judged is None:
            return ClientAddress(UNKNOWN, exempt=False)
        if not forwarded or not judged.trusted:
            return judged.client
        return self._forwarded(forwarded) or judged.client

    def _forwarded(self, values: Sequence[bytes]) -> ClientAddress | None:
        """The first untrusted hop from the right, the leftmost when all are trusted; None when any
        entry up to there is malformed or there are too many."""
        hops = b",".join(values).decode("latin-1").rsplit(",", FORWARDED_HOPS_MAX)
        judged = None
        for hop in reversed(hops):
            judged = self._judge(hop.strip())
            if judged is None or not judged.trusted:
                break
        return None if judged is None else judged.client


def _within(address: IPv4Address | IPv6Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
