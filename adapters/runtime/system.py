"""The machine's own clock and entropy."""

from __future__ import annotations

import secrets
import time

from ports.clock import Clock
from ports.entropy import Entropy


class SystemClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class SystemEntropy:
    def token(self, size: int) -> bytes:
        return secrets.token_bytes(size)


def _proof(clock: SystemClock, entropy: SystemEntropy) -> tuple[Clock, Entropy]:
    """mypy holds the adapters to their ports here."""
    return clock, entropy
