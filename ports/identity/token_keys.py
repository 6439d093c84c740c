"""The keys that make and verify tokens at present."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ports.identity.token_signer import TokenSigner


@dataclass(frozen=True, slots=True)
class TokenKeySet:
    """Keys of each kind: the first one makes, all of them verify."""

    signer: TokenSigner
    device_keys: tuple[bytes, ...] = field(repr=False)
    """Keys of `device_fingerprint`."""
    refresh_keys: tuple[bytes, ...] = field(repr=False)
    """Keys of `refresh_token`, kept for longer than others, as refresh tokens live longer."""
    former: TokenSigner | None = None
    """Verifies by keys whose access tokens have all expired: it tells such a token from a forged one."""
    public_keys: tuple[Mapping[str, str], ...] = ()
    """The JSON Web Keys (RFC 7517) by which third parties verify access tokens; none under HS256."""


class TokenKeys(Protocol):
    """The keys in force, which a rotation replaces."""

    def current(self) -> TokenKeySet:
        """The present keys: the same object until they change."""

    def reload(self) -> bool:
        """Reads the keys again, at most every few milliseconds. Whether they have changed.

        For a token that no present key made: another process may use newer keys already.
        """
