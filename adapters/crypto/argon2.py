"""Passwords under Argon2id (RFC 9106) at OWASP's cost: 19 MiB, two passes, one lane."""

from __future__ import annotations

import base64
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from adapters.crypto.turnstile import Turnstile
from ports.entropy import Entropy
from ports.identity.passwords import PasswordHasher
from ports.runtime import Runtime

Result = TypeVar("Result")

SALT_BYTES = 16
HASH_BYTES = 32
NICENESS = 10
"""A tenth of what a thread of usual priority gets of a core that both want: a login is slower on a busy
machine, and none is starved."""
WAITING_MAX = 256
"""A hash takes some 40 ms: a caller that would wait longer than about ten seconds is refused at once."""


class Argon2PasswordHasher:
    """`PasswordHasher` in threads of its own, at most as many at once as there are cores.

    More would only share the same cores and hold 19 MiB each. The threads give way to all others: a
    reader of a balance must not feel that many log in.
    """

    def __init__(
        self,
        *,
        runtime: Runtime,
        entropy: Entropy,
        memory_kib: int = 19 * 1024,
        passes: int = 2,
        lanes: int = 1,
        running_max: int | None = None,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        self._runtime = runtime
        self._entropy = entropy
        self._memory_kib = memory_kib
        self._passes = passes
        self._lanes = lanes
        running_max = running_max or os.cpu_count() or 1
        self._turnstile = Turnstile(runtime=runtime, inside_max=running_max, waiting_max=waiting_max)
        self._threads = ThreadPoolExecutor(running_max, "argon2", initializer=_give_way)
        self._prefix = f"$argon2id$v=19$m={memory_kib},t={passes},p={lanes}$"
        # Of no password (with a probability of 1 - 2^-256), and as dear to check as any.
        self._of_nobody = f"{self._prefix}{_phc(bytes(SALT_BYTES))}${_phc(bytes(HASH_BYTES))}"

    async def hash(self, password: bytes) -> str:
        salt = self._entropy.token(SALT_BYTES)
        return await self._run(partial(self._derive, password, salt))

    async def verify(self, password: bytes, encoded: str | None) -> bool:
        return await self._run(partial(_matches, password, encoded or self._of_nobody))

    def needs_rehash(self, encoded: str) -> bool:
        return not encoded.startswith(self._prefix)

    async def _run(self, work: Callable[[], Result]) -> Result:
        # The runtime's thread only waits: it serves others afterwards, so its priority must stay.
        async with self._turnstile:
            return await self._runtime.run_in_thread(lambda: self._threads.submit(work).result())

    def _derive(self, password: bytes, salt: bytes) -> str:
        return Argon2id(
            salt=salt,
            length=HASH_BYTES,
            iterations=self._passes,
            lanes=self._lanes,
            memory_cost=self._memory_kib,
        ).derive_phc_encoded(password)


def _give_way() -> None:
    """For this thread alone: on Linux each has a priority of its own (setpriority(2)), elsewhere it would be
    the whole process's."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS)


def _matches(password: bytes, encoded: str) -> bool:
    try:
        Argon2id.verify_phc_encoded(password, encoded)
    except InvalidKey:
        return False
    return True


def _phc(data: bytes) -> str:
    return base64.b64encode(data).rstrip(b"=").decode()


def _proof(hasher: Argon2PasswordHasher) -> PasswordHasher:
    """mypy holds the adapter to its port here."""
    return hasher
