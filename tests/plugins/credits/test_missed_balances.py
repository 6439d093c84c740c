"""Balances whose push did not come, told by whoever is connected: by the journal's numbers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from adapters.memory.ledger.journal import MemoryCheckpoints, MemoryJournal
from adapters.memory.metrics import MemoryMetrics
from application.ledger.book_ports import BookPorts
from application.ledger.committed import CommittedBatch
from application.ledger.orders import AccountOrder, Caller, GrantOrder
from application.ledger.service import DOCUMENTS_MOVED_MAX, Ledger
from application.realtime.switchboard import Realtime
from domain.ledger.account import AccountState
from domain.ledger.outcomes import Posted
from domain.realtime.events import CloseCode
from domain.realtime.spans import Span
from plugins.credits.announcements import BalanceAnnouncements
from plugins.credits.missed import (
    CATCH_UP_S_MAX,
    LOOK_S,
    SAY_S,
    TOPIC,
    USERS_AT_ONCE_MAX,
    MissedBalances,
)
from ports.runtime import Runtime
from tests.adapters.socket.doubles import Mailbox, NamedTokens, ObservedBus, identity
from tests.application.limits.limiter_bench import HalfEntropy, RuntimeClock, simulated
from tests.plugins.plugin_context import Context

NOTICED_S = 2.5 * LOOK_S
SOMEBODY = Caller("main", "api_key:test")


@dataclass
class Worker:
    """One process of the service, as far as balances go."""

    ledger: Ledger
    realtime: Realtime
    announcements: BalanceAnnouncements


class House:
    """Two workers over one journal. The bus of `here` is good; `elsewhere` has one that nobody hears."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.journal, self.checkpoints = MemoryJournal(), MemoryCheckpoints()
        self.clock, self.entropy = RuntimeClock(runtime), HalfEntropy()
        self.bus = ObservedBus(runtime)
        self.here = self._worker(self.bus)
        self.elsewhere = self._worker(ObservedBus(runtime))
        self.mailbox = Mailbox()

    def _worker(self, bus: ObservedBus) -> Worker:
        async def announce(batch: CommittedBatch) -> None:
            announcements.committed(batch)

        ledger = self.make_ledger(announce)
        realtime = Realtime(runtime=self.runtime, bus=bus, tokens=NamedTokens())
        missed = MissedBalances(self.runtime, ledger, realtime)
        announcements = BalanceAnnouncements(Context({}, MemoryMetrics()), realtime, missed)
        missed.begin(None)
        return Worker(ledger, realtime, announcements)

    def make_ledger(self, announce: Callable[[CommittedBatch], Awaitable[None]]) -> Ledger:
        ports = BookPorts(self.runtime, self.clock, self.entropy, self.journal, self.checkpoints)
        return Ledger(ports, accounts_max=10_000, announce=announce)

    async def open(self, *users: str, pause_s: float = NOTICED_S) -> None:
        for user in users:
            order = AccountOrder("GEM", id=f"acc_{user}", user_id=user)
            assert isinstance(await self.elsewhere.ledger.open_account(SOMEBODY, order), Posted)
        await self.runtime.sleep(pause_s)

    async def join(self, user: str, mailbox: Mailbox) -> None:
        assert await self.here.realtime.attach(mailbox, identity(user, f"ses_{user}"))

    async def give(self, worker: Worker, amount: int, user: str = "ada") -> None:
        order = GrantOrder(f"acc_{user}", amount, "paid", 50, "grant")
        assert isinstance(await worker.ledger.grant(SOMEBODY, order), Posted)


def told(mailbox: Mailbox) -> list[int]:
    """What is posted, of each balance told."""
    return [json.loads(text)["posted"] for text in mailbox.texts]


def in_house(body: Callable[[House], Awaitable[None]], kind: type[House] = House) -> None:
    async def main(runtime: Runtime) -> None:
        await body(kind(runtime))

    simulated(main)


def test_a_push_that_never_came_is_made_good_for_within_two_looks_and_a_bit() -> None:
    async def body(house: House) -> None:
        await house.open("ada", "bob")
        await house.join("ada", house.mailbox)
        await house.give(house.elsewhere, 5)
        await house.give(house.elsewhere, 7, "bob")
        assert told(house.mailbox) == []
        await house.runtime.sleep(NOTICED_S)
        assert told(house.mailbox) == [5]
        await house.runtime.sleep(10 * LOOK_S)
        assert told(house.mailbox) == [5]

    in_house(body)


def test_what_was_announced_is_not_looked_up() -> None:
    async def body(house: House) -> None:
        asked: list[object] = []
        named = house.journal.named

        async def watched(*arguments: object, **options: object) -> object:
            asked.append(arguments)
            return await named(*arguments, **options)  # type: ignore[arg-type]  # passed on as it came

        await house.open("ada")
        await house.join("ada", house.mailbox)
        house.journal.named = watched  # type: ignore[method-assign, assignment]
        for amount in (1, 10, 100):
            await house.give(house.here, amount)
        await house.runtime.sleep(10 * LOOK_S)
        assert told(house.mailbox) == [1, 11, 111]
        assert asked == []

    in_house(body)


def test_a_publish_that_failed_is_made_good_for() -> None:
    async def body(house: House) -> None:
        await house.open("ada")
        await house.join("ada", house.mailbox)
        await house.runtime.sleep(NOTICED_S)
        house.bus.is_away = True
        await house.give(house.here, 3)
        await house.runtime.sleep(SAY_S)
        house.bus.is_away = False
        await house.runtime.sleep(NOTICED_S)
        assert told(house.mailbox) == [3]

    in_house(body)


def test_while_the_bus_is_not_whole_balances_are_told_all_the_same() -> None:
    async def body(house: House) -> None:
        await house.open("ada")
        await house.join("ada", house.mailbox)
        house.bus.is_whole = False
        await house.give(house.elsewhere, 4)
        await house.runtime.sleep(1.5 * LOOK_S)
        assert told(house.mailbox) == [4]

    in_house(body)


def test_after_a_gap_words_that_came_in_it_count_for_nothing() -> None:
    async def body(house: House) -> None:
        await house.open("ada")
        await house.join("ada", house.mailbox)
        await house.runtime.sleep(NOTICED_S)
        await house.give(house.elsewhere, 6)
        head = await house.here.ledger.last_seq("main")
        # The word of a document is heard, its push was not: so it goes when topics come back one by one.
        await house.bus.publish(TOPIC, json.dumps({"spans": [[1, head]]}).encode())
        house.bus.tell_of_gap()
        await house.runtime.sleep(1.5 * LOOK_S)
        assert told(house.mailbox) == [6]

    in_house(body)


def test_no_older_balance_follows_a_newer_one() -> None:
    async def body(house: House) -> None:
        await house.open("ada")
        await house.join("ada", house.mailbox)
        late = house.bus
        for amount in (1, 10):
            await house.give(house.elsewhere, amount)
        await house.runtime.sleep(NOTICED_S)
        assert told(house.mailbox) == [11]
        seq = json.loads(house.mailbox.texts[0])["seq"]
        for number, posted in ((seq - 1, 1), (seq, 11), (seq + 1, 12)):
            push = {"type": "balance", "account": "acc_ada", "posted": posted, "held": 0, "available": posted}
            await late.publish(
                "user:ada", json.dumps({**push, "seq": number}, separators=(",", ":")).encode()
            )
        assert told(house.mailbox) == [11, 11, 12], "the same once more does no harm"

    in_house(body)


def test_when_too_much_was_missed_everybody_connected_is_asked_for() -> None:
    async def body(house: House) -> None:
        await house.open("ada")
        await house.join("ada", house.mailbox)
        await house.give(house.elsewhere, 1)
        await house.open(*(f"stranger{number}" for number in range(DOCUMENTS_MOVED_MAX)), pause_s=0)
        house.bus.tell_of_gap()
        await house.runtime.sleep(NOTICED_S)
        assert told(house.mailbox) == [1]

    in_house(body)


class SlowLedger(Ledger):
    """Too much was missed, and each user's accounts take a second to find."""

    async def moved(self, book_name: str, spans: Sequence[Span]) -> None:
        assert book_name == "main"
        assert spans

    async def accounts_of(self, book_name: str, user_id: str) -> list[AccountState]:
        found = await super().accounts_of(book_name, user_id)
        await self._ports.runtime.sleep(1.0)
        return found


class SlowHouse(House):
    def make_ledger(self, announce: Callable[[CommittedBatch], Awaitable[None]]) -> Ledger:
        ports = BookPorts(self.runtime, self.clock, self.entropy, self.journal, self.checkpoints)
        return SlowLedger(ports, accounts_max=10_000, announce=announce)


def test_who_cannot_be_brought_up_to_date_in_time_is_sent_away_to_come_back() -> None:
    users = [f"user{number}" for number in range(60)]

    async def body(house: House) -> None:
        await house.open(*users)
        boxes = [Mailbox() for _ in users]
        for user, box in zip(users, boxes, strict=True):
            await house.join(user, box)
            await house.give(house.elsewhere, 2, user)
        house.bus.tell_of_gap()
        await house.runtime.sleep(LOOK_S + CATCH_UP_S_MAX + 2.0)
        answered = [box for box in boxes if told(box) == [2]]
        sent_away = [box for box in boxes if box.closes == [CloseCode.RESTARTING]]
        assert len(answered) == USERS_AT_ONCE_MAX * CATCH_UP_S_MAX
        assert len(answered) + len(sent_away) == len(users)

    in_house(body, SlowHouse)
