"""The keys that tokens are made and believed with, as of now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ports.identity.token_signer import TokenSigner


@dataclass(frozen=True, slots=True)
class TokenKeySet:
    """Of each kind the first key makes, and every one believes."""

    signer: TokenSigner
    device_keys: tuple[bytes, ...] = field(repr=False)
    """For `device_fingerprint`."""
    refresh_keys: tuple[bytes, ...] = field(repr=False)
    """For `refresh_token`. They are kept for longer: refresh tokens live longer."""
    former: TokenSigner | None = None
    """By the keys whose access tokens have all expired: it only tells that such a one was ours."""
    public_keys: tuple[Mapping[str, str], ...] = ()
    """What a third party may check access tokens with, as JSON Web Keys (RFC 7517); none under HS256."""


class TokenKeys(Protocol):
    def current(self) -> TokenKeySet:
        """The same object for as long as nothing changes."""

    def reload(self) -> bool:
        """Asks where the keys are kept, at most every few milliseconds; True when there are others now.

        For what none of the known keys made: it may come of a process that has seen the new ones.
        """
