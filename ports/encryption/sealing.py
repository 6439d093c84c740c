"""Authenticated encryption for values that other services store or carry."""

from __future__ import annotations

from typing import Protocol


class Sealer(Protocol):
    """Any process with the same root key opens the values sealed for the same purpose."""

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """The sealed value. `context`, such as a topic or a name, is not stored; `open` needs it again."""

    def open(self, sealed: bytes, context: bytes) -> bytes | None:
        """The plaintext; None for a value that was not sealed here for this context, or was changed since."""
