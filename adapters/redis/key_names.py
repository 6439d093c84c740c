"""The names of keys and channels in Redis: keyed hashes, so no address, user name or topic stands there."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from functools import lru_cache

from adapters.redis.driver.resp import frame
from domain.limits.identifiers import Identifier, network_of
from domain.limits.windows import Policy

KEY_BYTES_MIN = 16
HASH_BYTES = 16
NAMES_CACHED_MAX = 16_384
WINDOWS_CACHED_MAX = 32
SESSION_GROUPS = 16
"""Revoked sessions lie in so many slots, each with a sentinel of its own: a node of a cluster that lost its
memory is not vouched for by another one's."""


class IdentifierKeys:
    """One identifier's keys, and its network's.

    What stands in braces decides the slot of a cluster: all keys of one identifier share it with those of
    its network, and hence with those of every other /64 of that.
    """

    __slots__ = (
        "_window_prefix",
        "_windows",
        "ban",
        "ban_frame",
        "identifier",
        "member",
        "network",
        "subnet_bans",
        "subnet_bans_frame",
        "violations",
        "violations_frame",
    )

    def __init__(self, identifier: Identifier, member: bytes, network: IdentifierKeys | None) -> None:
        self.identifier = identifier
        self.member = member
        """`{type}:{id}`, its name in the list of bans."""
        self.network = network
        self.ban = b"banned:" + member
        self.violations = b"violations:" + member
        self.ban_frame = frame(self.ban)
        self.violations_frame = frame(self.violations)
        self.subnet_bans = b"spread:" + member
        self.subnet_bans_frame = frame(self.subnet_bans)
        self._window_prefix = b"ratelimit:" + member + b":"
        self._windows: dict[Policy, bytes] = {}

    def window(self, policy: Policy) -> bytes:
        return self._window_prefix + policy.window.encode()

    def window_frame(self, policy: Policy) -> bytes:
        windows = self._windows
        if (known := windows.get(policy)) is None:
            if len(windows) >= WINDOWS_CACHED_MAX:
                windows.clear()
            known = windows[policy] = frame(self.window(policy))
        return known


class SessionKeys:
    """A revoked session's key, and the sentinel beside it."""

    __slots__ = ("both_frames", "sentinel", "session")

    def __init__(self, sentinel: bytes, session: bytes) -> None:
        self.sentinel = sentinel
        self.session = session
        self.both_frames = frame(sentinel) + frame(session)


class KeyNames:
    """Every name under one HMAC key: another key is another set of names."""

    def __init__(self, *, key: bytes) -> None:
        if len(key) < KEY_BYTES_MIN:
            raise ValueError(f"the naming key must have at least {KEY_BYTES_MIN} bytes")
        self._key = key
        # The same identifiers and sessions come again and again; the hash is then the dearest part of a call.
        self.identifier = lru_cache(maxsize=NAMES_CACHED_MAX)(self._identifier)
        self.session = lru_cache(maxsize=NAMES_CACHED_MAX)(self._session)
        self.bus_route = b"bus-route:{%b}" % self.hashed("bus", "")
        self.ban_index = b"bans:{%b}" % self.hashed("bans", "")
        self._groups = [self.hashed("revocations", str(number)) for number in range(SESSION_GROUPS)]
        self.sentinels = tuple(b"revocations:{%b}" % group for group in self._groups)

    def hashed(self, kind: str, text: str) -> bytes:
        """128 bits of HMAC-SHA256, base64url. Texts of different kinds never share a hash."""
        digest = hmac.digest(self._key, f"{kind}\0{text}".encode("utf-8", "surrogatepass"), hashlib.sha256)
        return urlsafe_b64encode(digest[:HASH_BYTES]).rstrip(b"=")

    def channel(self, topic: str) -> bytes:
        return b"bus:{%b}" % self.hashed("topic", topic)

    def beat(self, listener: str) -> bytes:
        """The key that a listener's beat writes, in the slot of `bus_route`."""
        return b"%b:%b" % (self.bus_route, self.hashed("beat", listener))

    def cache_place(self, name: str, places: int) -> bytes:
        """One of so many keys; the name alone, without the naming key, does not tell which."""
        digest = hmac.digest(self._key, b"cache\0" + name.encode(), hashlib.sha256)
        number = int.from_bytes(digest[:8], "big") % places
        return b"cache:{%b}" % self.hashed("cache-place", str(number))

    def _session(self, session: str) -> SessionKeys:
        name = self.hashed("session", session)
        number = sum(name) % SESSION_GROUPS
        return SessionKeys(self.sentinels[number], b"revoked:session:{%b}:%b" % (self._groups[number], name))

    def _identifier(self, identifier: Identifier) -> IdentifierKeys:
        kind = identifier.type.value
        name = self.hashed(kind, identifier.value)
        network = network_of(identifier)
        if network is None:
            member = b"%b:{%b}" % (kind.encode(), name)
            return IdentifierKeys(identifier, member, None)
        wide = self.identifier(network)
        return IdentifierKeys(identifier, b"%b:%b" % (wide.member, name), wide)
