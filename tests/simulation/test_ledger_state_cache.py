"""What a process knows not to exist: asked for once, noticed when it comes, and bounded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from adapters.memory.ledger.journal import MemoryCheckpoints, MemoryJournal
from application.ledger.book import Book
from application.ledger.book_ports import BookPorts
from application.ledger.state_cache import ABSENT_MAX, DOCUMENTS_A_READ_MAX, StateCache
from domain.ledger.account import Account, AccountState
from domain.ledger.chain import Head, JournalDocument, seal
from domain.ledger.commands import PostTransfer, Submission
from domain.ledger.entries import AccountOpened, HoldPlaced
from tests.simulation.ledger_world import BOOK
from tests.simulation.runtime.simulated_runtime import SeededEntropy, SimulatedRuntime, Simulation


class CountedCheckpoints(MemoryCheckpoints):
    """Remembers which accounts it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def load(self, book: str, account_keys: Sequence[str]) -> Mapping[str, AccountState]:
        self.asked += account_keys
        return await super().load(book, account_keys)


def opening(key: str) -> JournalDocument:
    entry = AccountOpened(Account(key, "GOLD"), (f"a:{key}",), "", "test")
    return seal(BOOK, Head(), [entry], time_ms=1, nonce="nonce")


def test_what_does_not_exist_is_asked_for_once() -> None:
    checkpoints = CountedCheckpoints()

    async def main() -> None:
        known = StateCache(BOOK, MemoryJournal(), checkpoints, accounts_max=10)
        for _ in range(3):
            await known.load(["@expired:GOLD"])
            known.trim()

    run(main)
    assert checkpoints.asked == ["@expired:GOLD"]


def test_what_did_not_exist_is_known_as_soon_as_a_document_makes_it() -> None:
    async def main() -> None:
        known = StateCache(BOOK, MemoryJournal(), MemoryCheckpoints(), accounts_max=10)
        await known.load(["alice"])
        known.trim()
        known.apply(opening("alice"))
        known.trim()
        state = known.accounts["alice"]
        assert state is not None
        assert state.account.id == "alice"

    run(main)


def test_what_others_make_up_takes_no_more_room_than_allowed_and_drives_out_nothing_that_exists() -> None:
    async def main() -> None:
        known = StateCache(BOOK, MemoryJournal(), MemoryCheckpoints(), accounts_max=10 * ABSENT_MAX)
        await known.load(["alice"])
        known.apply(opening("alice"))
        for number in range(3):
            await known.load([f"nobody-{number}-{index}" for index in range(ABSENT_MAX)])
            known.trim()
        assert known.accounts["alice"] is not None
        assert len(known.accounts) == ABSENT_MAX + 1

    run(main)


def test_what_is_only_tried_out_takes_no_more_room_either() -> None:
    simulation, checkpoints = Simulation(1), CountedCheckpoints()
    runtime = simulation.process("only")
    entropy = SeededEntropy(simulation.random)
    ports = BookPorts(runtime, simulation.clock(), entropy, MemoryJournal(), checkpoints)

    async def world() -> None:
        async with runtime.running():
            book = Book(BOOK, ports, accounts_max=10 * ABSENT_MAX)
            for number in (0, *range(1, ABSENT_MAX + 1), 0):
                command = PostTransfer("t", "nobody", f"none-{number}", 1, "try", ("t:t",), "", "test")
                assert (await book.try_out(Submission((command,)))).outcomes

    runtime.run(world)
    assert checkpoints.asked.count("none-0") == 2, "once, and once more when others had taken its place"


def run(main: Callable[[], Awaitable[None]]) -> None:
    runtime = SimulatedRuntime(1)

    async def running() -> None:
        async with runtime.running():
            await main()

    runtime.run(running)


def test_a_start_learns_what_the_last_documents_let_fall_due_however_many_do() -> None:
    """A killed writer's checkpoints lag behind its last documents, not its first ones."""

    async def main() -> None:
        journal, head = MemoryJournal(), Head()
        names = [f"account-{number:03}" for number in range(2 * DOCUMENTS_A_READ_MAX)]
        for name in names:
            opened = AccountOpened(Account(name, "GOLD"), (f"a:{name}",), "", "test")
            held = HoldPlaced(
                f"h-{name}", name, "GOLD", 1, "@revenue", 10, "test", (f"h:{name}",), "", "test"
            )
            document = seal(BOOK, head, [opened, held], time_ms=1, nonce=name)
            await journal.append(document)
            head = document.head
        known = StateCache(BOOK, journal, MemoryCheckpoints(), accounts_max=10)
        await known.start()
        assert known.remote_due.overdue(10) == names

    run(main)
