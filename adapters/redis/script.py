"""A Lua script that is run by its hash and loaded where the server does not know it."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from adapters.redis.driver import RedisDriver, Refusal, Reply, accepted


class Script:
    """One script of this package. It is sent whole only when the server has lost or never had it."""

    def __init__(self, *, driver: RedisDriver, name: str) -> None:
        self._driver = driver
        self._source = files("adapters.redis").joinpath(name).read_bytes()
        # SHA-1 is what EVALSHA names scripts by; nothing rests on its strength.
        self._hash = hashlib.sha1(self._source, usedforsecurity=False).hexdigest().encode()

    async def run(self, keys: list[bytes], arguments: list[bytes | int]) -> Reply:
        """Its reply. Raises `DependencyUnavailable`, also for an error of the script itself."""
        reply = await self._driver.execute(b"EVALSHA", self._hash, len(keys), *keys, *arguments)
        if isinstance(reply, Refusal) and reply.code == "NOSCRIPT":
            # It did not run, so running it now is no second attempt. EVAL keeps it for the next EVALSHA.
            reply = await self._driver.execute(b"EVAL", self._source, len(keys), *keys, *arguments)
        return accepted(reply)
