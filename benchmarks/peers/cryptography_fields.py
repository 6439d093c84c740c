"""`cryptography` alone: bare AES-256-GCM with a fresh nonce, or Fernet, over the same bytes."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import version

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.rounds import Figures, answer_rounds_in_order, configuration, repeated

CALLS = 200
NONCE_BYTES = 12


def main() -> None:
    config = configuration()
    plaintext = os.urandom(config["bytes"])
    seal, open_sealed = _fernet(plaintext) if config["algorithm"] == "fernet" else _aesgcm(plaintext)

    def measured(seconds: float) -> Figures:
        return {
            "per_second": repeated(lambda: _times(seal), seconds / 2),
            "open_per_second": repeated(lambda: _times(open_sealed), seconds / 2),
        }

    answer_rounds_in_order(measured, {"cryptography": version("cryptography")})


def _times(work: Callable[[], bytes]) -> int:
    for _ in range(CALLS):
        work()
    return CALLS


def _fernet(plaintext: bytes) -> tuple[Callable[[], bytes], Callable[[], bytes]]:
    fernet = Fernet(Fernet.generate_key())
    token = fernet.encrypt(plaintext)
    return (lambda: fernet.encrypt(plaintext)), (lambda: fernet.decrypt(token))


def _aesgcm(plaintext: bytes) -> tuple[Callable[[], bytes], Callable[[], bytes]]:
    key = AESGCM(os.urandom(32))
    nonce = os.urandom(NONCE_BYTES)
    sealed = key.encrypt(nonce, plaintext, b"context")

    def seal() -> bytes:
        fresh = os.urandom(NONCE_BYTES)
        return fresh + key.encrypt(fresh, plaintext, b"context")

    return seal, (lambda: key.decrypt(nonce, sealed, b"context"))


if __name__ == "__main__":
    main()
