"""What the size of a ledger costs: the same work on a small and on a large one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from benchmarks.contenders import Contender, side_by_side
from benchmarks.rows import Bench, Goal, Meaning, Row, row
from tests.servers.mongod_node import CACHE_GB

GROUP: Final = "growth"
DATABASE: Final = "credit_system"
STATES_CACHED: Final = 1_000_000
"""All accounts that transfer at random: what one costs that is not in memory is another question."""
CALLERS: Final = 64
SMALL: Final = (1_000, 10_000)
LARGE: Final = {"short": (100_000, 1_000_000), "full": (1_000_000, 10_000_000)}
"""Accounts, and entries in the journal. The full one takes half an hour to fill, and 5 GB."""
CACHES_GB: Final = {"short": (2.0, CACHE_GB), "full": (8.0, CACHE_GB)}
"""WiredTiger's: one that holds the indexes of the large journal, as it should, and one that does not."""


def rows(bench: Bench) -> Sequence[Row]:
    length = "full" if bench.full else "short"
    found: list[Row] = []
    for cache_gb in CACHES_GB[length]:
        _set_cache(bench, cache_gb)
        try:
            found += _measured(bench, *LARGE[length], cache_gb)
        finally:
            _set_cache(bench, CACHE_GB)
    return found


def _set_cache(bench: Bench, cache_gb: float) -> None:
    with bench.mongod.client(bench.mongod.root) as client:
        size = f"cache_size={int(cache_gb * 1024)}M"
        client.admin.command({"setParameter": 1, "wiredTigerEngineRuntimeConfig": size})


def _index_gb(bench: Bench) -> float:
    with bench.mongod.client(bench.mongod.root) as client:
        sizes = client[DATABASE].command("collStats", "journal")["indexSizes"]
    return float(sum(sizes.values())) / 1024**3


def _measured(bench: Bench, accounts: int, entries: int, cache_gb: float) -> list[Row]:
    contenders = [_ledger(bench, "large", accounts, entries), _ledger(bench, "small", *SMALL)]
    comparison = side_by_side(contenders, rounds=bench.rounds, seconds=bench.seconds)
    size = f"{SMALL[0]:,} → {accounts:,} accounts, {SMALL[1]:,} → {entries:,} entries"
    beside = f"{_index_gb(bench):.2g} GB of indexes, WiredTiger {cache_gb:g} GB"
    return [
        row(
            comparison,
            work=f"{CALLERS} callers; {size}; state cache {STATES_CACHED:,} accounts, {beside}",
            figure="per_second",
            unit="transfers/s",
            group=GROUP,
            # A transfer at most 1.3 times as dear: at least 1 / 1.3 of the throughput.
            goal=Goal(Meaning.RATIO_AT_LEAST, 1 / 1.3),
            against=1,
        ),
        row(
            comparison,
            work=f"start: a book is opened and its head known; {size}; WiredTiger {cache_gb:g} GB",
            figure="start_ms",
            unit="ms",
            group=GROUP,
            against=1,
        ),
    ]


def _ledger(bench: Bench, name: str, accounts: int, entries: int) -> Contender:
    return Contender(
        f"credit-system, {name}",
        (bench.python, "-m", "benchmarks.sides.growth"),
        {
            "accounts": accounts,
            "entries": entries,
            "callers": CALLERS,
            "cached": STATES_CACHED,
            "book": f"bench-growth-{name}",
            "mongo_url": bench.mongod.url,
            "redis_url": bench.redis.url,
            "secrets_dir": str(bench.secrets),
        },
    )
