"""Authenticated encryption for values that pass through other people's memory."""

from __future__ import annotations

from typing import Protocol


class Sealer(Protocol):
    """Every process with the same root key opens what another has sealed for the same purpose."""

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """The context (a topic, a key's name) is not stored, and must be the same to open."""

    def open(self, sealed: bytes, context: bytes) -> bytes | None:
        """None when it was not sealed by us for this context, or was changed since."""
