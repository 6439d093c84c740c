"""What every journal promises, and every store of checkpoints."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
import pytest

from adapters.memory.ledger.journal import MemoryCheckpoints, MemoryJournal
from adapters.mongo.driver.client import ClientDriver
from adapters.mongo.indexes import create_indexes
from adapters.mongo.ledger import checkpoints as mongo_checkpoints
from adapters.mongo.ledger import journal as mongo_journal
from domain.ledger.account import ISSUANCE, REVENUE, Account, AccountState
from domain.ledger.chain import AppendResult, Head, JournalDocument, is_intact, seal
from domain.ledger.crossings import Snapshot
from domain.ledger.entries import AccountOpened, Entry, Issue, TransferPosted
from domain.ledger.lots import GrantTerms
from ports.errors import DependencyUnavailable
from ports.ledger.journal import AssetCensus, Checkpoints, Journal, StoredState, Unreadable, UnreadableBook
from ports.runtime import Runtime
from tests.conformance.entries import every_kind_of_entry, rich_state
from tests.conformance.identity import connect_as_app, database_of_its_own
from tests.conformance.runtimes import Driver
from tests.servers.mongod import MongodServer


@dataclass(frozen=True, slots=True)
class Ledgers:
    journal: Journal
    checkpoints: Checkpoints


OnLedgers = Callable[[Callable[[Ledgers], Awaitable[None]]], None]


@pytest.fixture(params=["memory", "pymongo", "motor"])
def ledgers(request: pytest.FixtureRequest, run_real: Driver) -> OnLedgers:
    def on_memory(body: Callable[[Ledgers], Awaitable[None]]) -> None:
        async def main(_runtime: Runtime) -> None:
            await body(Ledgers(MemoryJournal(), MemoryCheckpoints()))

        run_real(main)

    def on_mongo(body: Callable[[Ledgers], Awaitable[None]]) -> None:
        mongod: MongodServer = request.getfixturevalue("mongod")
        with database_of_its_own(mongod) as url:

            async def main(runtime: Runtime) -> None:
                driver: ClientDriver = await connect_as_app(runtime, mongod, url, request.param)
                try:
                    await create_indexes(driver, [mongo_journal.INDEXES, mongo_checkpoints.INDEXES])
                    await body(
                        Ledgers(
                            mongo_journal.MongoJournal(driver), mongo_checkpoints.MongoCheckpoints(driver)
                        )
                    )
                finally:
                    await driver.close()

            run_real(main)

    return on_memory if request.param == "memory" else on_mongo


def opened(account_id: str, user: str | None = None) -> AccountOpened:
    account = Account(account_id, "GEMS", user, 10**15, '{"$set":"text, not a command"}')
    return AccountOpened(account, (f"a:{account_id}",), "f" * 32, "api_key:x")


def issued(grant_id: str, account: str, amount: int = 5) -> TransferPosted:
    return TransferPosted(
        grant_id, ISSUANCE, account, amount, "GEMS", "grant", -(2**62), amount,
        (f"t:{grant_id}", f"k:grants:{grant_id}"), "f" * 32, "api_key:x", '{"a":1}',
        cause=Issue(grant_id, GrantTerms("paid", 0)),
    )  # fmt: skip


def spent(transfer_id: str, account: str) -> TransferPosted:
    return TransferPosted(
        transfer_id, account, REVENUE, 1, "GEMS", "spend", 4, 1, (f"t:{transfer_id}",), "f" * 32, "user:u"
    )


def document(head: Head, *entries: Entry, book: str = "main", nonce: str | None = None) -> JournalDocument:
    return seal(book, head, entries, time_ms=head.time_ms + 7, nonce=nonce or f"{book}-{head.seq + 1}")


async def append_all(journal: Journal, *batches: tuple[Entry, ...], book: str = "main") -> list[Head]:
    heads = [Head()]
    for entries in batches:
        sealed = document(heads[-1], *entries, book=book)
        assert await journal.append(sealed) is AppendResult.APPENDED
        heads.append(sealed.head)
    return heads


def test_an_appended_document_is_read_back_as_it_was(ledgers: OnLedgers) -> None:
    async def body(stores: Ledgers) -> None:
        sealed = document(Head(), opened("alice", "u-1"), issued("g1", "alice"), spent("t1", "alice"))
        assert await stores.journal.append(sealed) is AppendResult.APPENDED
        assert await stores.journal.head("main") == sealed
        assert await stores.journal.at("main", 1) == sealed
        assert list(await stores.journal.after("main", 0, limit=9)) == [sealed]

    ledgers(body)


def test_an_empty_book_has_no_head(ledgers: OnLedgers) -> None:
    async def body(stores: Ledgers) -> None:
        await append_all(stores.journal, (opened("alice"),), book="other")
        assert await stores.journal.head("main") is None
        assert await stores.journal.at("main", 1) is None
        assert not await stores.journal.after("main", 0, limit=9)

    ledgers(body)


def test_a_second_writer_at_the_same_number_is_fenced(ledgers: OnLedgers) -> None:
    async def body(stores: Ledgers) -> None:
        await append_all(stores.journal, (opened("alice"),))
        rival = document(Head(), opened("bob"), nonce="rival")
        assert await stores.journal.append(rival) is AppendResult.SEQ_TAKEN
        head = await stores.journal.head("main")
        assert head is not None
        assert head.nonce == "main-1"

    ledgers(body)


def test_the_same_bytes_sent_again_do_not_append_twice(ledgers: OnLedgers) -> None:
    async def body(stores: Ledgers) -> None:
        sealed = document(Head(), opened("alice"))
        assert await stores.journal.append(sealed) is AppendResult.APPENDED
        assert await stores.journal.append(sealed) is AppendResult.SEQ_TAKEN
        assert len(await stores.journal.after("main", 0, limit=9)) == 1

    ledgers(body)


def test_a_key_is_recorded_once_in_a_book(ledgers: OnLedgers) -> None:
    async def body(stores: Ledgers) -> None:
        heads = await append_all(stores.journal, (opened("alice"), issued("g1", "alice")))
        again = document(heads[-1], spent("t1", "alice"), issued("g1", "alice"))
        assert await stores.journal.append(again) is AppendResult.KEY_TAKEN
        assert await stores.journal.at("main", 2) is None
        await append_all(stores.journal, (opened("alice"), issued("g1", "alice")), book="other")

    ledgers(body)


def test_the_tail_comes_in_order_and_in_pages(ledgers: OnLedgers) -> None:
    async def body(stores: Ledgers) -> None:
        await append_all(stores.journal, *[(opened(f"account-{number}"),) for number in range(5)])
        assert [each.seq for each in await stores.journal.after("main", 1, limit=3)] == [2, 3, 4]
        assert [each.seq for each in await stores.journal.after("main", 4, limit=3)] == [5]

    ledgers(body)


def test_the_last_number_and_what_documents_touch_are_told_without_the_documents(ledgers: OnLedgers) -> None:
    async def body(stores: Ledgers) -> None:
        assert await stores.journal.last_seq("main") == 0
        await append_all(stores.journal, (opened("alice", "u-1"), opened("bob")), (issued("g1", "bob"),))
        await append_all(stores.journal, *[(opened(f"x{number}"),) for number in range(3)], book="other")
        assert await stores.journal.last_seq("main") == 2
        assert await stores.journal.last_seq("other") == 3
        first, second = await stores.journal.named("main", 1, 9, limit=9)
        assert (first.seq, set(first.subjects) >= {"a:alice", "a:bob", "u:u-1"}) == (1, True)
        assert (second.seq, set(second.subjects) >= {"a:bob", "a:@issuance:GEMS"}) == (2, True)
        assert [each.seq for each in await stores.journal.named("other", 2, 3, limit=9)] == [2, 3]
        assert [each.seq for each in await stores.journal.named("other", 1, 3, limit=2)] == [1, 2]
        assert list(await stores.journal.named("main", 3, 9, limit=9)) == []

    ledgers(body)


def test_documents_are_found_by_the_subjects_they_touch(ledgers: OnLedgers) -> None:
    async def body(stores: Ledgers) -> None:
        await append_all(
            stores.journal,
            (opened("alice", "u-1"), opened("bob")),
            (issued("g1", "alice"),),
            (issued("g2", "bob"),),
            (spent("t1", "alice"),),
        )

        async def seqs(subjects: dict[str, int], limit: int = 9) -> list[int]:
            return [each.seq for each in await stores.journal.touching("main", subjects, limit=limit)]

        assert await seqs({"a:alice": 0}) == [1, 2, 4]
        assert await seqs({"a:alice": 1, "a:bob": 1}) == [2, 3, 4]
        assert await seqs({"a:alice": 2, "a:bob": 0}) == [1, 3, 4]
        assert await seqs({"a:alice": 0, "a:bob": 0}, limit=2) == [1, 2]
        assert await seqs({"a:@issuance:GEMS": 0}) == [2, 3]
        assert await seqs({"u:u-1": 0}) == [1]
        assert await seqs({"a:nobody": 0}) == []

    ledgers(body)


def test_the_entries_of_one_account_come_in_either_order_and_in_pages(ledgers: OnLedgers) -> None:
    async def body(stores: Ledgers) -> None:
        await append_all(
            stores.journal,
            (opened("bob"), opened("alice")),
            (issued("g1", "alice"), issued("g2", "bob"), spent("t1", "alice")),
            (spent("t2", "bob"),),
            (spent("t3", "alice"),),
        )

        async def places(
            account: str = "alice", *, above: int = 0, upto: int = 9, newest: bool = False, some: int = 9
        ) -> tuple[list[tuple[int, int]], int | None]:
            excerpt = await stores.journal.of_account(
                "main", account, "GEMS", above=above, upto=upto, newest_first=newest, documents_max=some
            )
            return [(placed.seq, placed.place) for placed in excerpt.entries], excerpt.upto

        assert await places() == ([(1, 1), (2, 0), (2, 2), (4, 0)], 4)
        assert await places(newest=True) == ([(4, 0), (2, 2), (2, 0), (1, 1)], 1)
        assert await places(above=1, upto=3) == ([(2, 0), (2, 2)], 2)
        assert await places(some=1) == ([(1, 1)], 1)
        assert await places("@revenue") == ([(2, 2), (3, 0), (4, 0)], 4)
        assert await places("nobody") == ([], None)

    ledgers(body)


def test_a_system_accounts_entries_are_those_of_its_asset(ledgers: OnLedgers) -> None:
    async def body(stores: Ledgers) -> None:
        other = issued("g2", "carol")._replace(asset="COINS")
        await append_all(stores.journal, (issued("g1", "alice"), other))
        excerpt = await stores.journal.of_account("main", ISSUANCE, "COINS", upto=9, documents_max=9)
        assert [placed.entry for placed in excerpt.entries] == [other]

    ledgers(body)


def test_every_kind_of_entry_is_read_back_as_it_was(ledgers: OnLedgers) -> None:
    async def body(stores: Ledgers) -> None:
        entries = every_kind_of_entry()
        sealed = document(Head(), *entries)
        assert await stores.journal.append(sealed) is AppendResult.APPENDED
        found = await stores.journal.at("main", 1)
        assert found == sealed
        assert found is not None
        assert is_intact(found)
        # Encoders of answers know plain integers only, of whatever size.
        msgspec.json.encode(found.entries)

    ledgers(body)


def test_entries_are_found_by_each_of_their_keys(ledgers: OnLedgers) -> None:
    async def body(stores: Ledgers) -> None:
        await append_all(stores.journal, (opened("alice"), issued("g1", "alice")), (spent("t1", "alice"),))
        found = await stores.journal.recorded("main", ["k:grants:g1", "t:t1", "t:nothing"])
        assert set(found) == {"k:grants:g1", "t:t1"}
        assert found["k:grants:g1"].entry == issued("g1", "alice")
        assert (found["k:grants:g1"].seq, found["k:grants:g1"].time_ms) == (1, 7)
        assert (found["t:t1"].entry, found["t:t1"].seq) == (spent("t1", "alice"), 2)
        assert not await stores.journal.recorded("other", ["t:t1"])
        assert not await stores.journal.recorded("main", [])

    ledgers(body)


def test_a_whole_batch_is_found_by_its_keys(ledgers: OnLedgers) -> None:
    async def body(stores: Ledgers) -> None:
        # As many as one batch may hold: a repeat of it asks for all of them at once.
        entries = [spent(f"transfer-{number}", "alice") for number in range(8_000)]
        await append_all(stores.journal, (opened("alice"),), tuple(entries))
        found = await stores.journal.recorded("main", [entry.keys[0] for entry in entries])
        assert len(found) == len(entries)
        assert found["t:transfer-7999"].entry == entries[7_999]

    ledgers(body)


def test_a_checkpoint_gives_back_what_was_saved(ledgers: OnLedgers) -> None:
    async def body(stores: Ledgers) -> None:
        alice = AccountState(opened("alice", "u-1").account, -(2**62), 3, 9)
        system = AccountState(Account(ISSUANCE, "GEMS", None, None), -5, 0, 9)
        await stores.checkpoints.save("main", [alice, system])
        loaded = await stores.checkpoints.load("main", ["alice", "@issuance:GEMS", "nobody"])
        assert loaded == {"alice": alice, "@issuance:GEMS": system}
        assert not await stores.checkpoints.load("other", ["alice"])

    ledgers(body)


def test_a_checkpoint_keeps_lots_holds_schedules_and_rules(ledgers: OnLedgers) -> None:
    async def body(stores: Ledgers) -> None:
        alice = rich_state(seq=9, due_ms=70)
        await stores.checkpoints.save("main", [alice])
        loaded = await stores.checkpoints.load("main", ["alice"])
        assert loaded == {"alice": alice}
        msgspec.json.encode(loaded)

    ledgers(body)


def test_accounts_in_which_something_falls_due_are_found_the_longest_overdue_first(
    ledgers: OnLedgers,
) -> None:
    async def body(stores: Ledgers) -> None:
        await stores.checkpoints.save("main", [rich_state(seq=9, due_ms=70), rich_state("bob", 9, due_ms=60)])
        await stores.checkpoints.save("other", [rich_state("carol", seq=9, due_ms=80)])
        await stores.checkpoints.save("main", [AccountState(Account("plain", "GEMS"), 1, 0, 9)])
        assert list(await stores.checkpoints.due(59, limit=9)) == []
        assert list(await stores.checkpoints.due(75, limit=9)) == [("main", "bob"), ("main", "alice")]
        assert list(await stores.checkpoints.due(90, limit=1)) == [("main", "bob")]
        await stores.checkpoints.save("main", [AccountState(Account("bob", "GEMS"), 1, 0, 10)])
        assert list(await stores.checkpoints.due(99, limit=9)) == [("main", "alice"), ("other", "carol")]

    ledgers(body)


def test_a_census_counts_the_accounts_of_all_books_by_asset(ledgers: OnLedgers) -> None:
    async def body(stores: Ledgers) -> None:
        def gems(name: str, posted: int, held: int = 0) -> AccountState:
            return AccountState(Account(name, "GEMS"), posted, held, 9)

        await stores.checkpoints.save("main", [gems("a", -5), gems("b", 10, 4), gems("@revenue", 700)])
        await stores.checkpoints.save("other", [gems("a", 2**40, 2)])
        await stores.checkpoints.save("other", [AccountState(Account("c", "GOLD"), 11, 0, 9)])
        assert list(await stores.checkpoints.census((0, 10, 100))) == [
            AssetCensus("GEMS", (1, 2, 2), 3, 2**40 + 5, 6),
            AssetCensus("GOLD", (0, 0, 1), 1, 11, 0),
        ]

    ledgers(body)


def test_the_newest_state_kept_before_a_moment_is_found(ledgers: OnLedgers) -> None:
    async def body(stores: Ledgers) -> None:
        early, late = rich_state(seq=5, due_ms=70), rich_state(seq=9, due_ms=80)
        await stores.checkpoints.keep("main", [Snapshot(late, 200), Snapshot(early, 100)])
        await stores.checkpoints.keep("main", [Snapshot(early, 100)])
        assert await stores.checkpoints.kept("main", "alice", 99) is None
        assert await stores.checkpoints.kept("main", "alice", 100) == Snapshot(early, 100)
        assert await stores.checkpoints.kept("main", "alice", 199) == Snapshot(early, 100)
        assert await stores.checkpoints.kept("main", "alice", 200) == Snapshot(late, 200)
        assert await stores.checkpoints.kept("other", "alice", 200) is None

    ledgers(body)


def test_the_newest_checkpoint_wins_in_whatever_order_they_come(ledgers: OnLedgers) -> None:
    async def body(stores: Ledgers) -> None:
        account = opened("alice").account
        for seq in (5, 9, 7):
            await stores.checkpoints.save("main", [AccountState(account, seq * 10, 0, seq)])
        loaded = await stores.checkpoints.load("main", ["alice"])
        assert loaded["alice"].posted == 90

    ledgers(body)


def test_all_that_is_stored_is_read_in_pages_to_be_proved(ledgers: OnLedgers) -> None:
    async def body(stores: Ledgers) -> None:
        batches = [(opened(f"a{number}"),) for number in range(5)]
        await append_all(stores.journal, *batches[:4], every_kind_of_entry())
        await append_all(stores.journal, batches[4], book="other")
        found: list[JournalDocument | Unreadable] = []
        while page := await stores.journal.stored_after("main", len(found), limit=2):
            found += page
        assert found == list(await stores.journal.after("main", 0, limit=9))

    ledgers(body)


def test_all_checkpoints_and_snapshots_are_read_in_pages_to_be_proved(ledgers: OnLedgers) -> None:
    async def body(stores: Ledgers) -> None:
        states = [rich_state(name, number, due_ms=7_000) for number, name in enumerate("bac", 3)]
        plain = AccountState(Account("alice", "GEMS"), 5, 0, 9, 1)
        await stores.checkpoints.save("main", [*states, plain])
        await stores.checkpoints.save("other", [rich_state("d", due_ms=1)])
        snapshots = [Snapshot(state, 70 + state.seq) for state in (*states, states[1]._replace(seq=99))]
        await stores.checkpoints.keep("main", snapshots)
        await stores.checkpoints.keep("other", snapshots[:1])
        first = await stores.checkpoints.states_after("main", "", limit=3)
        rest = await stores.checkpoints.states_after("main", first[-1].key, limit=3)
        expected = [StoredState(state.account.key, state.seq, state) for state in (*states, plain)]
        assert [*first, *rest] == sorted(expected)
        kept = await stores.checkpoints.snapshots_after("main", "", 0, limit=1)
        later = await stores.checkpoints.snapshots_after("main", kept[-1].key, kept[-1].seq, limit=9)
        kept_states = [
            StoredState(each.state.account.key, each.state.seq, each.state, each.time_ms)
            for each in snapshots
        ]
        assert [*kept, *later] == sorted(kept_states)

    ledgers(body)


def test_no_answer_to_an_append_is_an_unknown_result(mongod: MongodServer, run_real: Driver) -> None:
    async def main(runtime: Runtime) -> None:
        driver = await connect_as_app(runtime, mongod, mongod.url, "pymongo")
        await driver.close()
        journal = mongo_journal.MongoJournal(driver)
        assert await journal.append(document(Head(), opened("alice"))) is AppendResult.UNKNOWN
        with pytest.raises(DependencyUnavailable):
            await journal.head("main")

    run_real(main)


@pytest.mark.parametrize(
    "newer",
    [
        {"$set": {"format": 3}},
        {"$set": {"format": "2"}},
        {"$set": {"entries.0.kind": "allowance"}},
        {"$set": {"entries.0.member": "carol"}},
        {"$set": {"entries.0.issue.uses": 2, "entries.0.issue.note": "x"}},
    ],
    ids=lambda newer: next(iter(newer["$set"])),
)
def test_what_a_newer_release_wrote_is_named_and_never_half_understood(
    newer: dict[str, object], mongod: MongodServer, run_real: Driver
) -> None:
    with database_of_its_own(mongod) as url:

        async def main(runtime: Runtime) -> None:
            driver: ClientDriver = await connect_as_app(runtime, mongod, url, "pymongo")
            try:
                await create_indexes(driver, [mongo_journal.INDEXES, mongo_checkpoints.INDEXES])
                journal = mongo_journal.MongoJournal(driver)
                document = seal("main", Head(), (issued("g1", "alice"),), time_ms=5, nonce="n")
                assert await journal.append(document) is AppendResult.APPENDED
                await driver.collection("journal").update_one({"seq": 1}, newer)
                reads: list[Callable[[], Awaitable[object]]] = [
                    lambda: journal.head("main"),
                    lambda: journal.at("main", 1),
                    lambda: journal.after("main", 0, limit=9),
                    lambda: journal.touching("main", {"a:alice": 0}, limit=9),
                    lambda: journal.recorded("main", ["t:g1"]),
                    lambda: journal.of_account("main", "alice", "GEMS", upto=9, documents_max=9),
                ]
                for read in reads:
                    with pytest.raises(UnreadableBook, match="document 1 of the book main"):
                        await read()
                (stored,) = await journal.stored_after("main", 0, limit=9)
                assert isinstance(stored, Unreadable)
            finally:
                await driver.close()

        run_real(main)


def test_a_checkpoint_with_a_field_that_nobody_here_knows_is_not_read(
    mongod: MongodServer, run_real: Driver
) -> None:
    with database_of_its_own(mongod) as url:

        async def main(runtime: Runtime) -> None:
            driver: ClientDriver = await connect_as_app(runtime, mongod, url, "pymongo")
            try:
                checkpoints = mongo_checkpoints.MongoCheckpoints(driver)
                await checkpoints.save("main", [rich_state(due_ms=7)])
                assert await checkpoints.load("main", ["alice"]) == {"alice": rich_state(due_ms=7)}
                await driver.collection("accounts").update_one({}, {"$set": {"rules.0.member": "x"}})
                with pytest.raises(UnreadableBook, match="account alice"):
                    await checkpoints.load("main", ["alice"])
            finally:
                await driver.close()

        run_real(main)
