"""The ASGI servers that can carry the service: Hypercorn on every runtime, two more on asyncio and uvloop.

Each has a module of its own: `hypercorn_server`, `uvicorn_server`, `granian_server`.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import Any

KEEP_ALIVE_S = 30.0
REQUEST_HEAD_BYTES_MAX = 32 << 10

Stop = Callable[[], Awaitable[Any]]
"""Returns when the server has to stop accepting."""


class ServerName(Enum):
    HYPERCORN = "hypercorn"
    UVICORN = "uvicorn"
    GRANIAN = "granian"

    @property
    def installed(self) -> bool:
        return find_spec(self.value) is not None


class ServerFailed(Exception):
    """The server ended of its own accord."""


@dataclass(frozen=True, slots=True)
class Tls:
    """The PEM files of a certificate and its key."""

    certificate: Path
    key: Path

    def check(self) -> None:
        """Raises `OSError`, of which `ssl.SSLError` is one, for unusable files. Never prompts."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key, password="")
