"""The ledger on a real mongod, beside a transaction a transfer and beside Medici."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from benchmarks.contenders import Comparison, Contender, side_by_side
from benchmarks.installation import PEERS, PeerMissing
from benchmarks.rows import Bench, Goal, Meaning, Row, row

CALLERS: Final = 64
ACCOUNTS: Final = 1_000
BATCH: Final = 4_096
GROUP: Final = "ledger"
PER_SECOND: Final = "transfers/s"


def rows(bench: Bench) -> Sequence[Row]:
    found: list[Row] = []
    many = f"{CALLERS} callers, {ACCOUNTS:,} accounts, one transfer each"
    comparison = _compared(bench, {"callers": CALLERS, "hot": False})
    found += _against_all(comparison, many, transaction=25, medici=75)
    found.append(_p99(comparison, f"p99 of these {CALLERS} callers", peer=1))
    comparison = _compared(bench, {"callers": CALLERS, "hot": True})
    found += _against_all(comparison, f"{CALLERS} callers, one hot account", transaction=100, medici=400)
    found.append(_p99(comparison, f"p99 of {CALLERS} callers, one hot account", peer=None))
    found += _alone(bench)
    comparison = _compared(bench, {"callers": CALLERS, "hot": False, "owned": True}, peers=False)
    found.append(
        row(
            comparison,
            work=f"{many}; every account has an owner who is told",
            figure="per_second",
            unit=PER_SECOND,
            group=GROUP,
        )
    )
    found.append(_batch(bench))
    found += _workers(bench, "four workers of one host on one book", workers=4, one_host=True)
    found += _workers(bench, "two hosts on one book", workers=2, one_host=False)
    return found


def _alone(bench: Bench) -> list[Row]:
    """Beside a transaction, and beside the one insert that bounds what a caller alone can have."""
    scenario = {"callers": 1, "hot": False}
    work = "one caller, one at a time"
    contenders = [ours(bench, scenario), _transaction(bench, scenario), _journal_only(bench, batch=1)]
    comparison = side_by_side(contenders, rounds=bench.rounds, seconds=bench.seconds)
    goals = (Goal(Meaning.RATIO_AT_LEAST, 2), None)
    return [
        row(
            comparison,
            work=work,
            figure="per_second",
            unit=PER_SECOND,
            group=GROUP,
            goal=goal,
            against=place,
        )
        for place, goal in enumerate(goals, 1)
    ]


def _workers(bench: Bench, work: str, *, workers: int, one_host: bool) -> list[Row]:
    """Several processes, with the callers shared out between them, beside one that has them all."""
    goals = (0.6, 20.0, 1 / 2) if one_host else (0.3, 150.0, 1 / 3)
    alone = ours(bench, {"callers": CALLERS, "hot": False, "workers": 1})
    several = ours(
        bench, {"callers": CALLERS // workers, "hot": False, "workers": workers, "one_host": one_host}
    )
    several = Contender(
        f"credit-system, {workers} processes",
        (bench.python, "-m", "benchmarks.sides.workers"),
        several.configuration,
    )
    comparison = side_by_side([several, alone], rounds=bench.rounds, seconds=bench.seconds)
    work = f"{work}, {CALLERS // workers} callers each"

    def row_of(what: str, figure: str, unit: str, goal: Goal, against: int | None) -> Row:
        return row(comparison, work=what, figure=figure, unit=unit, group=GROUP, goal=goal, against=against)

    return [
        row_of(work, "per_second", PER_SECOND, Goal(Meaning.RATIO_AT_LEAST, goals[0]), 1),
        row_of(f"p99 of {work}", "p99_ms", "ms", Goal(Meaning.AT_MOST, goals[1]), 1),
        row_of(
            f"slowest process, {work}", "least_share", "of the mean", Goal(Meaning.AT_LEAST, goals[2]), None
        ),
    ]


def _compared(bench: Bench, scenario: dict[str, Any], *, peers: bool = True) -> Comparison:
    contenders = [ours(bench, scenario)]
    if peers:
        contenders.append(_transaction(bench, scenario))
        try:
            contenders.append(_medici(bench, scenario))
        except PeerMissing as missing:
            bench.note(str(missing))
    return side_by_side(contenders, rounds=bench.rounds, seconds=bench.seconds)


def _against_all(comparison: Comparison, work: str, *, transaction: float, medici: float) -> list[Row]:
    goals = (transaction, medici)
    return [
        row(
            comparison,
            work=work,
            figure="per_second",
            unit=PER_SECOND,
            group=GROUP,
            goal=Goal(Meaning.RATIO_AT_LEAST, goals[place]),
            against=place + 1,
        )
        for place in range(len(comparison.measured) - 1)
    ]


def _p99(comparison: Comparison, work: str, *, peer: int | None) -> Row:
    return row(
        comparison,
        work=work,
        figure="p99_ms",
        unit="ms",
        group=GROUP,
        goal=Goal(Meaning.AT_MOST, 15.0),
        against=peer,
    )


def _batch(bench: Bench) -> Row:
    scenario = {"callers": 1, "hot": False, "batch": BATCH}
    contenders = [ours(bench, scenario), _journal_only(bench, batch=BATCH)]
    comparison = side_by_side(contenders, rounds=bench.rounds, seconds=bench.seconds)
    return row(
        comparison,
        work=f"batches of {BATCH:,}, durable",
        figure="per_second",
        unit=PER_SECOND,
        group=GROUP,
        goal=Goal(Meaning.AT_LEAST, 60_000),
        against=1,
    )


def _journal_only(bench: Bench, *, batch: int) -> Contender:
    command = (str(bench.python_with_peers()), "-m", "benchmarks.peers.journal_only")
    return Contender("one bare insert a batch", command, {**_mongo(bench), "callers": 1, "batch": batch})


def ours(bench: Bench, scenario: dict[str, Any]) -> Contender:
    scenario = {"accounts": ACCOUNTS, "batch": 0, "owned": False, **scenario}
    # A book of its own: what an earlier row wrote does not weigh on this one.
    book = "-".join(["bench", *(f"{name}{int(value)}" for name, value in scenario.items())])
    configuration = {
        **scenario,
        "book": book,
        "mongo_url": bench.mongod.url,
        "redis_url": bench.redis.url,
        "secrets_dir": str(bench.secrets),
    }
    return Contender("credit-system", (bench.python, "-m", "benchmarks.sides.ledger"), configuration)


def _transaction(bench: Bench, scenario: dict[str, Any]) -> Contender:
    command = (str(bench.python_with_peers()), "-m", "benchmarks.peers.pymongo_transaction")
    return Contender(
        "PyMongo, a transaction each", command, {**_mongo(bench), "accounts": ACCOUNTS, **scenario}
    )


def _medici(bench: Bench, scenario: dict[str, Any]) -> Contender:
    folder = bench.folder_with_medici()
    command = ("node", str(PEERS / "medici" / "transfer.mjs"))
    configuration = {**_mongo(bench), "accounts": ACCOUNTS, **scenario}
    return Contender("Medici, its README's withdraw", command, configuration, folder)


def _mongo(bench: Bench) -> dict[str, Any]:
    app = bench.mongod.app
    return {"mongo_url": bench.mongod.url, "user": app.user, "password": app.password}
