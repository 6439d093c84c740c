"""Who gets what is published, and when this process listens for it."""

from __future__ import annotations

import json
from functools import partial

import pytest

from application.realtime.switchboard import CLOSED_SESSIONS_MAX, CLOSED_SESSIONS_TOPIC, Realtime
from domain.realtime.events import CloseCode
from domain.realtime.messages import BalancePush, DirectPush
from ports.errors import DependencyUnavailable
from ports.realtime.socket_tokens import SocketIdentity
from ports.runtime import DeadlineExceeded, Runtime
from tests.adapters.socket.doubles import Mailbox, NamedTokens, ObservedBus, identity
from tests.conformance.runtimes import Driver
from tests.conformance.runtimes import run as run  # noqa: PLC0414 - a fixture is used by its name

BALANCE = BalancePush("acc", posted=750, held=0, available=750, seq=2)
ALICE = identity("alice", "ses_a")
BOB = identity("bob", "ses_b")


class Worker:
    """One process of the service."""

    def __init__(self, runtime: Runtime, bus: ObservedBus | None = None) -> None:
        self.bus = bus or ObservedBus(runtime)
        self.realtime = Realtime(runtime=runtime, bus=self.bus, tokens=NamedTokens())


async def started(runtime: Runtime, bus: ObservedBus | None = None) -> Worker:
    worker = Worker(runtime, bus)
    await worker.realtime.start()
    return worker


def test_every_connection_of_a_user_gets_a_push_and_nobody_elses(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        worker = await started(runtime)
        first, second, other = Mailbox(), Mailbox(), Mailbox()
        assert await worker.realtime.attach(first, ALICE)
        assert await worker.realtime.attach(second, ALICE)
        assert await worker.realtime.attach(other, BOB)
        await worker.realtime.publish_to_user("alice", BALANCE)
        assert first.texts == second.texts == [BALANCE.encode().decode()]
        assert first.texts[0] is second.texts[0], "decoded once, shared by all"
        assert other.texts == []

    run(body)


def test_a_push_reaches_the_users_connections_on_other_workers(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        here = await started(runtime)
        there = await started(runtime, here.bus)
        mailbox = Mailbox()
        await there.realtime.attach(mailbox, ALICE)
        await here.realtime.publish_to_user("alice", DirectPush("greet", "سلام"))
        assert [json.loads(text)["data"] for text in mailbox.texts] == ["سلام"]

    run(body)


def test_a_users_connections_share_one_subscription_that_ends_with_the_last(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        worker = await started(runtime)
        boxes = [Mailbox() for _ in range(5)]

        tasks = [runtime.start(partial(worker.realtime.attach, box, ALICE), name="join") for box in boxes]
        for task in tasks:
            await task.wait()
        assert worker.bus.live("user:alice") == worker.bus.subscribed["user:alice"] == 1
        for box in boxes[1:]:
            await worker.realtime.detach(box, ALICE)
        assert worker.bus.live("user:alice") == 1
        await worker.realtime.detach(boxes[0], ALICE)
        await worker.realtime.detach(boxes[0], ALICE)
        assert worker.bus.live("user:alice") == 0
        assert worker.realtime._audiences == {}
        assert worker.realtime._by_session == {}

    run(body)


def test_whoever_joins_while_the_last_one_leaves_misses_nothing_afterwards(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        worker = await started(runtime)
        for _ in range(20):
            before, after = Mailbox(), Mailbox()
            await worker.realtime.attach(before, ALICE)
            leaving = runtime.start(partial(worker.realtime.detach, before, ALICE), name="leave")
            joining = runtime.start(partial(worker.realtime.attach, after, ALICE), name="join")
            assert await joining.wait()
            await worker.realtime.publish_to_user("alice", BALANCE)
            assert len(after.texts) == 1
            await leaving.wait()
            assert worker.bus.live("user:alice") == 1
            await worker.realtime.detach(after, ALICE)
        assert worker.bus.live("user:alice") == 0

    run(body)


async def attach_in_no_time(runtime: Runtime, worker: Worker, mailbox: Mailbox) -> None:
    async with runtime.deadline(0):
        await runtime.sleep(0)
        await worker.realtime.attach(mailbox, ALICE)
        await runtime.sleep(60)


def test_a_cancelled_attach_leaves_no_subscription_behind(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        worker = await started(runtime)
        mailbox = Mailbox()
        with pytest.raises(DeadlineExceeded):
            await attach_in_no_time(runtime, worker, mailbox)
        await worker.realtime.detach(mailbox, ALICE)
        assert worker.bus.live("user:alice") == 0
        assert worker.realtime._audiences == {}

    run(body)


def test_an_attach_that_the_bus_fails_can_be_repeated_by_another_connection(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        worker = await started(runtime)
        failed, mailbox = Mailbox(), Mailbox()
        worker.bus.is_away = True
        with pytest.raises(DependencyUnavailable):
            await worker.realtime.attach(failed, ALICE)
        worker.bus.is_away = False
        assert await worker.realtime.attach(mailbox, ALICE)
        await worker.realtime.detach(failed, ALICE)
        await worker.realtime.publish_to_user("alice", BALANCE)
        assert (len(failed.texts), len(mailbox.texts)) == (0, 1)

    run(body)


def test_closing_a_session_ends_its_connections_on_every_worker_and_no_others(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        here = await started(runtime)
        there = await started(runtime, here.bus)
        local, remote, other = Mailbox(), Mailbox(), Mailbox()
        await here.realtime.attach(local, ALICE)
        await there.realtime.attach(remote, ALICE)
        await there.realtime.attach(other, identity("alice", "ses_other"))
        await here.realtime.close_session("ses_a", CloseCode.NOT_AUTHENTICATED)
        assert set(local.closes) == set(remote.closes) == {CloseCode.NOT_AUTHENTICATED}
        assert other.closes == []

    run(body)


def test_closing_a_session_ends_the_connections_here_even_when_the_bus_is_away(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        worker = await started(runtime)
        mailbox = Mailbox()
        await worker.realtime.attach(mailbox, ALICE)
        worker.bus.is_away = True
        with pytest.raises(DependencyUnavailable):
            await worker.realtime.close_session("ses_a")
        assert mailbox.closes == [CloseCode.NOT_AUTHENTICATED]

    run(body)


def test_a_client_whose_session_was_closed_after_its_token_was_checked_is_not_attached(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        worker = await started(runtime)
        checked = await worker.realtime.authenticate("alice/ses_a", device_id=None)
        assert isinstance(checked, SocketIdentity)
        await worker.realtime.close_session("ses_a")
        assert not await worker.realtime.attach(Mailbox(), checked)
        assert await worker.realtime.attach(Mailbox(), identity("alice", "ses_other"))

    run(body)


def test_a_refresh_into_another_session_moves_the_connection_there(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        worker = await started(runtime)
        mailbox = Mailbox()
        later = identity("alice", "ses_later")
        await worker.realtime.attach(mailbox, ALICE)
        assert worker.realtime.renew(mailbox, ALICE, later)
        await worker.realtime.close_session("ses_a")
        assert mailbox.closes == []
        assert not worker.realtime.renew(mailbox, later, ALICE), "that session has ended"
        assert worker.realtime.renew(mailbox, ALICE, later)
        await worker.realtime.close_session("ses_later")
        assert CloseCode.NOT_AUTHENTICATED in mailbox.closes

    run(body)


def test_closed_sessions_are_remembered_up_to_a_bound(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        worker = Worker(runtime)
        for number in range(CLOSED_SESSIONS_MAX + 10):
            worker.realtime.close_session_here(f"ses_{number}", CloseCode.NOT_AUTHENTICATED)
        assert len(worker.realtime._closed_lately) == CLOSED_SESSIONS_MAX

    run(body)


@pytest.mark.parametrize(
    "message", [b"", b"\xff", b"[]", b"{}", b'{"session":"ses_a"}', b'{"session":"ses_a","code":1}']
)
def test_words_on_the_bus_that_this_release_does_not_know_are_ignored(run: Driver, message: bytes) -> None:
    async def body(runtime: Runtime) -> None:
        worker = await started(runtime)
        mailbox = Mailbox()
        await worker.realtime.attach(mailbox, ALICE)
        await worker.bus.publish(CLOSED_SESSIONS_TOPIC, message)
        assert mailbox.closes == []

    run(body)


def test_stopping_ends_whoever_is_left_and_listens_no_more(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        worker = await started(runtime)
        mailbox = Mailbox()
        await worker.realtime.attach(mailbox, ALICE)
        await worker.realtime.stop()
        assert mailbox.closes == [CloseCode.RESTARTING]
        assert worker.bus.live(CLOSED_SESSIONS_TOPIC) == 0

    run(body)
