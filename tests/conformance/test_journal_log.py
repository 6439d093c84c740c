"""What every journal promises to whoever reads it backwards."""

from __future__ import annotations

from domain.ledger.entries import AccountOpened
from ports.ledger.journal_log import JournalLog, Wanted
from tests.conformance.test_journal import (
    Ledgers,
    OnLedgers,
    append_all,
    issued,
    ledgers,
    opened,
    spent,
)

__all__ = ["ledgers"]


def log_of(stores: Ledgers) -> JournalLog:
    assert hasattr(stores.journal, "latest")
    log: JournalLog = stores.journal  # type: ignore[assignment]  # both adapters are both
    return log


def test_what_is_wanted_comes_newest_first(ledgers: OnLedgers) -> None:
    async def body(stores: Ledgers) -> None:
        await append_all(
            stores.journal,
            (opened("alice"), opened("bob")),
            (issued("g1", "alice"),),
            (spent("t1", "alice"),),
            (issued("g2", "bob"),),
        )
        await append_all(stores.journal, (opened("carol"),), book="other")
        log = log_of(stores)

        async def seqs(wanted: Wanted, limit: int = 9) -> list[int]:
            return [each.seq for each in await log.latest("main", wanted, limit=limit)]

        assert await seqs(Wanted(99)) == [4, 3, 2, 1]
        assert await seqs(Wanted(99), limit=2) == [4, 3]
        assert await seqs(Wanted(3, above=1)) == [3, 2]
        assert await seqs(Wanted(99, subject="a:alice")) == [3, 2, 1]
        assert await seqs(Wanted(2, subject="a:alice"), limit=1) == [2]
        assert await seqs(Wanted(99, above=3, subject="a:alice")) == []
        assert await seqs(Wanted(99, subject="t:t1", key="t:t1")) == [3]
        assert await seqs(Wanted(2, subject="t:t1", key="t:t1")) == []
        assert await seqs(Wanted(99, actor="user:u")) == [3]
        assert await seqs(Wanted(99, subject="a:alice", actor="api_key:x")) == [2, 1]
        assert await seqs(Wanted(99, subject="a:nobody")) == []
        assert await log.latest("nothing", Wanted(99), limit=9) == []

    ledgers(body)


def test_the_last_document_before_a_moment_is_found(ledgers: OnLedgers) -> None:
    async def body(stores: Ledgers) -> None:
        log = log_of(stores)
        assert await log.last_before("main", 2**53) == 0
        entries: list[tuple[AccountOpened, ...]] = [(opened(f"a{number}"),) for number in range(9)]
        heads = await append_all(stores.journal, *entries)
        for head in heads[1:]:
            assert await log.last_before("main", head.time_ms) == head.seq - 1
            assert await log.last_before("main", head.time_ms + 1) == head.seq
        assert await log.last_before("main", -1) == 0
        assert await log.last_before("main", 2**53) == 9

    ledgers(body)
