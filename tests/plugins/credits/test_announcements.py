"""What is announced of a batch goes out together, and nothing waits for the bus."""

from __future__ import annotations

from ports.runtime import Runtime
from tests.adapters.socket.doubles import Mailbox, ObservedBus, identity
from tests.adapters.web.credits import House, open_house
from tests.conformance.runtimes import Driver

BATCHES = 5


def test_metrics_see_each_batch_at_once_while_the_bus_hangs(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        bus = ObservedBus(runtime)
        async with open_house(runtime, bus=bus) as house:
            await house.open("ada", user_id="usr_ada")
            await house.announced()
            mailbox = await watched(house, "usr_ada")
            bus.hang()
            bus.calls.clear()
            for amount in range(1, BATCHES + 1):
                await house.give("ada", amount)
            await house.hooked()
            assert house.metrics.value("credit_ledger_head", "main") == 1 + BATCHES
            assert len(house.metrics.observations("credit_ledger_batch_size")) == 1 + BATCHES
            assert house.metrics.value("credit_balance", "GEMS", "posted") == sum(range(1, BATCHES + 1))
            # The first one's pushes are under way still, and those of the others wait.
            assert (user_calls(bus), mailbox.texts) == ([{"user:usr_ada"}], [])
            bus.resume()
            await house.announced()
            assert len(mailbox.texts) == BATCHES

    run_real(body)


def test_all_pushes_of_a_batch_go_out_in_one_call(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        bus = ObservedBus(runtime)
        async with open_house(runtime, bus=bus) as house:
            await house.open("bank", user_id="usr_bank")
            names = [f"ada-{number}" for number in range(10)]
            for name in names:
                await house.open(name, user_id=f"usr_{name}")
            await house.give("bank", 100)
            await house.announced()
            mailboxes = [await watched(house, f"usr_{name}") for name in names]
            bus.calls.clear()
            transfers = [
                {"source": "bank", "destination": name, "amount": 1, "code": "gift"} for name in names
            ]
            answer = await house.post("/credits/transfers/batch", {"transfers": transfers})
            assert answer.status == 200
            await house.announced()
            assert user_calls(bus) == [{"user:usr_bank", *(f"user:usr_{name}" for name in names)}]
            assert [len(mailbox.texts) for mailbox in mailboxes] == [1] * len(names)

    run_real(body)


def user_calls(bus: ObservedBus) -> list[set[str]]:
    """The topics of calls to users; workers tell each other things, too."""
    return [topics for topics in bus.calls if any(topic.startswith("user:") for topic in topics)]


async def watched(house: House, user_id: str) -> Mailbox:
    mailbox = Mailbox()
    assert await house.manager.use_cases.realtime.attach(mailbox, identity(user_id, "ses"))
    return mailbox
