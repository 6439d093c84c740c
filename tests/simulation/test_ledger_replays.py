"""A seed is a whole life of the ledger: whoever is given it sees the very same one."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIVES = """
    from tests.simulation.runtime.simulated_runtime import SimulatedRuntime, Simulation
    from tests.simulation.ledger_world import BOOK
    from tests.simulation.test_ledger_storm import STORMY, Storm
    from tests.simulation.unreliable_store import Outside

    for seed in range(6):
        simulation = Simulation(seed)
        outside = Outside(simulation, STORMY)
        simulation.run(Storm(simulation, outside).world)
        documents = SimulatedRuntime().run(lambda: outside.journal.after(BOOK, 0, limit=1_000_000))
        print(documents[-1].digest)
"""


def lives(hash_seed: int) -> list[str]:
    """The digest of the last document of each life, where Python hashes text by this seed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LIVES)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout.split()


def test_a_seed_gives_the_same_life_however_python_hashes_text() -> None:
    first = lives(0)
    assert len(set(first)) == len(first) == 6
    assert lives(1) == lives(2) == first
