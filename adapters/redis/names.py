"""How things are called in Redis: by keyed hashes, so no address, user name or topic stands there."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from functools import lru_cache

from adapters.redis.driver import frame
from domain.identifiers import Identifier

KEY_BYTES_MIN = 16
HASH_BYTES = 16
NAMES_CACHED_MAX = 16_384


@dataclass(frozen=True, slots=True)
class IdentifierKeys:
    """One identifier's keys. The braces put them into one slot of a cluster."""

    member: bytes
    """`{type}:{id}`, its name in the index of bans."""
    ban: bytes
    violations: bytes
    window_prefix: bytes
    """The `Policy.window` is appended."""
    ban_frame: bytes
    violations_frame: bytes


class Names:
    """Every name under one HMAC key: another key is another set of names."""

    def __init__(self, *, key: bytes) -> None:
        if len(key) < KEY_BYTES_MIN:
            raise ValueError(f"the naming key must have at least {KEY_BYTES_MIN} bytes")
        self._key = key
        # The same identifiers and sessions come again and again; the hash is then the dearest part of a call.
        self.identifier = lru_cache(maxsize=NAMES_CACHED_MAX)(self._identifier)
        self.session = lru_cache(maxsize=NAMES_CACHED_MAX)(self._session)
        self.ban_index = b"bans:{%b}" % self.hashed("bans", "")
        self.sentinel = b"revocations:{%b}" % self.hashed("revocations", "")

    def hashed(self, kind: str, text: str) -> bytes:
        """128 bits of HMAC-SHA256, base64url. Texts of different kinds never share a hash."""
        digest = hmac.digest(self._key, f"{kind}\0{text}".encode("utf-8", "surrogatepass"), hashlib.sha256)
        return urlsafe_b64encode(digest[:HASH_BYTES]).rstrip(b"=")

    def _session(self, session: str) -> bytes:
        return b"revoked:session:{%b}" % self.hashed("session", session)

    def channel(self, topic: str) -> bytes:
        return b"bus:{%b}" % self.hashed("topic", topic)

    def cache_place(self, name: str, places: int) -> bytes:
        """One of so many keys; which, nobody can tell from the name without the key."""
        digest = hmac.digest(self._key, b"cache\0" + name.encode(), hashlib.sha256)
        number = int.from_bytes(digest[:8], "big") % places
        return b"cache:{%b}" % self.hashed("cache-place", str(number))

    def _identifier(self, identifier: Identifier) -> IdentifierKeys:
        kind = identifier.type.value
        member = b"%b:{%b}" % (kind.encode(), self.hashed(kind, identifier.value))
        return IdentifierKeys(
            member=member,
            ban=b"banned:" + member,
            violations=b"violations:" + member,
            window_prefix=b"ratelimit:" + member + b":",
            ban_frame=frame(b"banned:" + member),
            violations_frame=frame(b"violations:" + member),
        )
