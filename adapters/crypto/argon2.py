"""Passwords under Argon2id (RFC 9106) at OWASP's cost: 19 MiB, two passes, one lane."""

from __future__ import annotations

import base64
import os

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from adapters.crypto.turnstile import Turnstile
from ports.entropy import Entropy
from ports.passwords import PasswordHasher
from ports.runtime import Runtime

SALT_BYTES = 16
HASH_BYTES = 32
WAITING_MAX = 256
"""A hash takes some 40 ms: whoever would wait longer than about ten seconds is told at once."""


class Argon2PasswordHasher:
    """`PasswordHasher` in worker threads, at most as many at once as there are cores.

    More would only share the same cores and hold 19 MiB each.
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
        self._turnstile = Turnstile(
            runtime=runtime, inside_max=running_max or os.cpu_count() or 1, waiting_max=waiting_max
        )
        self._prefix = f"$argon2id$v=19$m={memory_kib},t={passes},p={lanes}$"
        # Of no password (with a probability of 1 - 2^-256), and as dear to check as any.
        self._of_nobody = f"{self._prefix}{_phc(bytes(SALT_BYTES))}${_phc(bytes(HASH_BYTES))}"

    async def hash(self, password: bytes) -> str:
        async with self._turnstile:
            return await self._runtime.run_in_thread(self._derive, password, self._entropy.token(SALT_BYTES))

    async def verify(self, password: bytes, encoded: str | None) -> bool:
        async with self._turnstile:
            return await self._runtime.run_in_thread(_matches, password, encoded or self._of_nobody)

    def needs_rehash(self, encoded: str) -> bool:
        return not encoded.startswith(self._prefix)

    def _derive(self, password: bytes, salt: bytes) -> str:
        return Argon2id(
            salt=salt,
            length=HASH_BYTES,
            iterations=self._passes,
            lanes=self._lanes,
            memory_cost=self._memory_kib,
        ).derive_phc_encoded(password)


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
