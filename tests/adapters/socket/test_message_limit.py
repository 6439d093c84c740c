"""Messages of a user are counted over all connections; who says too much is told and closed."""

from __future__ import annotations

import pytest

from domain.realtime.events import CloseCode
from ports.limits.message_limit import MessageVerdict
from ports.runtime import Runtime
from tests.adapters.socket.test_connection import nothing_is_left
from tests.adapters.socket.wire import Service, guarded
from tests.conformance.runtimes import Driver


@pytest.mark.parametrize(
    ("verdict", "code"),
    [(MessageVerdict.OVER_LIMIT, CloseCode.OVER_LIMIT), (MessageVerdict.BANNED, CloseCode.FORBIDDEN)],
)
def test_who_says_too_much_over_all_connections_is_told_and_closed(
    run: Driver, verdict: MessageVerdict, code: CloseCode
) -> None:
    async def body(runtime: Runtime) -> None:
        service = Service(runtime)
        wire = await service.log_in()
        # Saying who it is was the first message.
        assert service.messages.taken == ["alice"]
        wire.say(id=2, type="ping")
        assert (await wire.hear())["type"] == "ok"
        assert service.messages.taken == ["alice", "alice"]
        service.messages.verdict = verdict
        wire.say(id=3, type="ping")
        wire.say(id=4, type="ping")
        assert await wire.ended() == code
        assert service.messages.taken == ["alice"] * 3
        nothing_is_left(service)

    run(body)


@pytest.mark.parametrize(
    ("verdict", "code"),
    [(MessageVerdict.OVER_LIMIT, CloseCode.OVER_LIMIT), (MessageVerdict.BANNED, CloseCode.FORBIDDEN)],
)
def test_who_may_say_nothing_is_not_let_in(run: Driver, verdict: MessageVerdict, code: CloseCode) -> None:
    async def body(runtime: Runtime) -> None:
        service = Service(runtime)
        service.messages.verdict = verdict
        wire = await service.dial()
        wire.say(id=1, type="connect", token="alice/ses_a")
        assert await wire.ended() == code
        nothing_is_left(service)

    run(body)


def test_messages_from_an_allow_listed_address_are_not_counted(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = Service(runtime)
        wire = await service.dial(**guarded(exempt=True))
        wire.say(id=1, type="connect", token="alice/ses_a")
        assert (await wire.hear())["type"] == "connected"
        wire.say(id=2, type="ping")
        assert (await wire.hear())["type"] == "ok"
        assert service.messages.taken == []
        wire.hang_up()
        await wire.ended()

    run(body)


def test_a_count_that_fails_is_a_fault_and_not_a_silence(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = Service(runtime)
        wire = await service.log_in()
        service.messages.failure = RuntimeError("a bug")
        wire.say(id=2, type="ping")
        assert await wire.ended() == CloseCode.FAULT
        nothing_is_left(service)

    run(body)
