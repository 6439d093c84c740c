"""Sealing 64 bytes, beside bare AES-GCM and Fernet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from benchmarks.contenders import Contender, side_by_side
from benchmarks.rows import Bench, Goal, Meaning, Row, row

BYTES: Final = 64
GROUP: Final = "cipher"
BARE_AT_LEAST: Final = 1 / 3
"""At most three times the cost of the bare primitive."""


def rows(bench: Bench) -> Sequence[Row]:
    peers = str(bench.python_with_peers())
    contenders = [
        Contender("credit-system", (bench.python, "-m", "benchmarks.sides.sealing"), {"bytes": BYTES}),
        *(
            Contender(
                name,
                (peers, "-m", "benchmarks.peers.cryptography_fields"),
                {"bytes": BYTES, "algorithm": algorithm},
            )
            for name, algorithm in (("bare AES-256-GCM", "aesgcm"), ("Fernet", "fernet"))
        ),
    ]
    comparison = side_by_side(contenders, rounds=bench.rounds, seconds=bench.seconds)
    return [
        row(
            comparison,
            work=f"{work} {BYTES} bytes",
            figure=figure,
            unit="values/s",
            group=GROUP,
            goal=Goal(Meaning.RATIO_AT_LEAST, goal),
            against=peer,
        )
        for work, figure in (("seal", "per_second"), ("open", "open_per_second"))
        for peer, goal in ((1, BARE_AT_LEAST), (2, 3.0))
    ]
