"""All keys of tokens, derived from a ring of root keys: one ring to rotate, one key a purpose."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.crypto.derivation import derived_key
from adapters.crypto.jwt import JwtSigner, SigningKey
from domain.encryption.keyring import Ring, RingKey, changes_at_ms, reading_keys
from domain.identity.tokens import ACCESS_KEY_LIFETIME_MS, SigningAlgorithm
from ports.clock import Clock
from ports.identity.token_keys import TokenKeys, TokenKeySet

KEY_ID_BYTES = 9


class TokenKeyring:
    """`TokenKeys` over a ring that can be replaced while it is used.

    `algorithm` is what new tokens are signed with. Every root key gives a key of each algorithm, under a
    `kid` of its own: a change of the algorithm refuses no token that lives.
    """

    def __init__(
        self,
        ring: Ring,
        *,
        clock: Clock,
        algorithm: SigningAlgorithm = SigningAlgorithm.HS256,
        refresh_lifetime_ms: int,
        look: Callable[[], Ring | None] | None = None,
    ) -> None:
        """`look` gives the ring where it is another one than before; it bounds itself how often it looks."""
        self._ring = ring
        self._clock = clock
        self._algorithm = algorithm
        self._lifetimes_ms = (ACCESS_KEY_LIFETIME_MS, refresh_lifetime_ms)
        self._look = look
        self._until_ms: int | None = None
        self._current = self._derive(clock.now_ms())

    def current(self) -> TokenKeySet:
        if self._until_ms is not None:
            now_ms = self._clock.now_ms()
            if now_ms >= self._until_ms:
                self._current = self._derive(now_ms)
        return self._current

    def reload(self) -> bool:
        ring = None if self._look is None else self._look()
        if ring is None or ring == self._ring:
            return False
        self._ring = ring
        self._current = self._derive(self._clock.now_ms())
        return True

    def _derive(self, now_ms: int) -> TokenKeySet:
        access_ms, refresh_ms = self._lifetimes_ms
        access = reading_keys(self._ring, now_ms, lifetime_ms=access_ms)
        refresh = reading_keys(self._ring, now_ms, lifetime_ms=refresh_ms)
        keys = self._signing_keys(access)
        former = self._signing_keys(tuple(key for key in self._ring if key not in access))
        self._until_ms = changes_at_ms(self._ring, now_ms, lifetimes_ms=self._lifetimes_ms)
        return TokenKeySet(
            signer=JwtSigner(keys=keys),
            former=JwtSigner(keys=former) if former else None,
            device_keys=tuple(derived_key(key.secret, "device-fingerprints") for key in access),
            refresh_keys=tuple(derived_key(key.secret, "refresh-tokens") for key in refresh),
            public_keys=tuple(
                _public(key) for key in keys if key.algorithm is self._algorithm is SigningAlgorithm.EDDSA
            ),
        )

    def _signing_keys(self, ring: Ring) -> list[SigningKey]:
        """One of each algorithm; those of the chosen one come first."""
        others = [each for each in SigningAlgorithm if each is not self._algorithm]
        return [_signing(key, algorithm) for algorithm in (self._algorithm, *others) for key in ring]


def _signing(key: RingKey, algorithm: SigningAlgorithm) -> SigningKey:
    # Named by what it is: the same root key has the same `kid` in every process and every file.
    name = derived_key(key.secret, f"token-key-id/{algorithm.value}")[:KEY_ID_BYTES]
    return SigningKey(
        kid=base64.urlsafe_b64encode(name).decode(),
        material=derived_key(key.secret, f"token-signing/{algorithm.value}"),
        algorithm=algorithm,
    )


def _public(key: SigningKey) -> Mapping[str, str]:
    """An Ed25519 key as RFC 8037 writes it."""
    raw = Ed25519PrivateKey.from_private_bytes(key.material).public_key().public_bytes_raw()
    x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    return {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": key.algorithm.value, "kid": key.kid, "x": x}


def _proof(keys: TokenKeyring) -> TokenKeys:
    """mypy holds the adapter to its port here."""
    return keys
