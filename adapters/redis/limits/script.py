"""A Lua script that is run by its hash and loaded where the server does not know it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files

from adapters.redis.driver.interface import RedisDriver, accepted
from adapters.redis.driver.resp import ErrorReply, Reply, frame


class Script:
    """One script of this package. It is sent whole only when the server has lost or never had it."""

    def __init__(self, *, driver: RedisDriver, name: str) -> None:
        self._driver = driver
        source = files("adapters.redis.limits").joinpath(name).read_bytes()
        # SHA-1 is what EVALSHA names scripts by; nothing rests on its strength.
        digest = hashlib.sha1(source, usedforsecurity=False).hexdigest()
        self._by_hash = frame("EVALSHA") + frame(digest)
        self._whole = frame("EVAL") + frame(source)

    async def run(self, keys: Sequence[bytes], arguments: Sequence[bytes], key: bytes) -> Reply:
        """Its reply; keys and arguments are framed already, since most of them are always the same.

        `key` is one of the keys, unframed: it routes the call. Raises `DependencyUnavailable`, also for
        an error of the script itself.
        """
        return await self.run_joined(len(keys), b"".join(keys), len(arguments), b"".join(arguments), key)

    async def run_joined(
        self, keys_count: int, keys: bytes, arguments_count: int, arguments: bytes, key: bytes
    ) -> Reply:
        """The same with keys and arguments joined already."""
        words = b"".join((_count(keys_count), keys, arguments))
        count = 3 + keys_count + arguments_count
        reply = await self._driver.execute_packed(b"*%d\r\n%b%b" % (count, self._by_hash, words), key)
        if isinstance(reply, ErrorReply) and reply.code == "NOSCRIPT":
            # It did not run, so running it now is no second attempt. EVAL keeps it for the next EVALSHA.
            reply = await self._driver.execute_packed(b"*%d\r\n%b%b" % (count, self._whole, words), key)
        return accepted(reply)


@lru_cache(maxsize=256)
def _count(number: int) -> bytes:
    return frame(number)
