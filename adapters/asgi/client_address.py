"""Whose request it is, as far as the network tells: one address to count, or nobody.

Headers are believed only from configured proxies, and read from the right (`adapters.asgi.forwarded`): each
trusted proxy vouches for the entry that it appended, and nothing left of the first untrusted one is
anybody's word.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from adapters.asgi.forwarded import hops_of_forwarded, hops_of_forwarded_for
from domain.addresses import UNKNOWN, Address, Network, counted_as, network_identity_of, parse_address

CACHED_ADDRESSES_MAX = 4096
CACHED_CHAIN_BYTES_MAX = 256
"""Longer chains are read each time: what is remembered stays small, whoever writes it."""


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

    __slots__ = ("_chained", "_judge")

    def __init__(self, *, trusted_proxies: Sequence[Network] = (), allowlist: Sequence[Network] = ()) -> None:
        trusted = tuple(map(network_identity_of, trusted_proxies))
        exempt = tuple(map(network_identity_of, allowlist))

        @lru_cache(maxsize=CACHED_ADDRESSES_MAX)
        def judge(text: str) -> _Judged | None:
            address = parse_address(text)
            if address is None:
                return None
            client = ClientAddress(counted_as(address), _within(address, exempt))
            return _Judged(client, _within(address, trusted))

        self._judge = judge
        # A proxy's clients come again and again, each with the same chain.
        self._chained = lru_cache(maxsize=CACHED_ADDRESSES_MAX)(self._read_chain)

    def client(
        self, peer: str | None, forwarded_for: Sequence[bytes] = (), forwarded: Sequence[bytes] = ()
    ) -> ClientAddress:
        """`peer` as the server names it; then the values of `X-Forwarded-For` and of `Forwarded`.

        A proxy that writes one of them may hand on the other as its client sent it, and nobody can tell
        which. So where both are there, both must lead to one address. A chain that leads nowhere leaves
        the peer, who is never exempt then: nobody may gain that by spoiling a header.
        """
        judged = None if peer is None else self._judge(peer)
        if judged is None:
            return ClientAddress(UNKNOWN, exempt=False)
        if not judged.trusted or not (forwarded_for or forwarded):
            return judged.client
        length = sum(map(len, forwarded_for)) + sum(map(len, forwarded))
        follow = self._chained if length <= CACHED_CHAIN_BYTES_MAX else self._read_chain
        return follow(judged.client, tuple(forwarded_for), tuple(forwarded))

    def _read_chain(
        self, peer: ClientAddress, forwarded_for: Sequence[bytes], forwarded: Sequence[bytes]
    ) -> ClientAddress:
        found = []
        if forwarded_for:
            found.append(self._follow(hops_of_forwarded_for(forwarded_for)))
        if forwarded:
            found.append(self._follow(hops_of_forwarded(forwarded)))
        client = found[0]
        if client is None or client != found[-1]:
            return ClientAddress(peer.counted, exempt=False)
        return client

    def _follow(self, hops: Iterable[str | None]) -> ClientAddress | None:
        """The first untrusted hop, the last one when all are trusted; None when any up to there is no
        address."""
        judged = None
        for hop in hops:
            judged = None if hop is None else self._judge(hop)
            if judged is None or not judged.trusted:
                break
        return None if judged is None else judged.client


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
