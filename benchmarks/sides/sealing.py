"""Sealing as it is used for what stands in other people's memory: a key per process, a context per value."""

from __future__ import annotations

import secrets

from adapters.crypto.sealing import AesGcmSealer
from adapters.runtime.system import SystemEntropy
from benchmarks.rounds import Figures, answer_rounds_in_order, configuration, repeated

CALLS = 200


def main() -> None:
    plaintext = secrets.token_bytes(configuration()["bytes"])
    sealer = AesGcmSealer(root_key=secrets.token_bytes(32), purpose="benchmark", entropy=SystemEntropy())
    sealed = sealer.seal(plaintext, b"context")

    def seal() -> int:
        for _ in range(CALLS):
            sealer.seal(plaintext, b"context")
        return CALLS

    def open_sealed() -> int:
        for _ in range(CALLS):
            sealer.open(sealed, b"context")
        return CALLS

    def measured(seconds: float) -> Figures:
        return {
            "per_second": repeated(seal, seconds / 2),
            "open_per_second": repeated(open_sealed, seconds / 2),
        }

    answer_rounds_in_order(measured, {})


if __name__ == "__main__":
    main()
