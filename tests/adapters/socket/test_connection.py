"""One connection through the ASGI application, without a server: replies, pushes, closes and what is left."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from domain.realtime.bucket import BucketPolicy
from domain.realtime.events import CloseCode
from domain.realtime.messages import BalancePush
from domain.realtime.outbox import OutboxLimits
from domain.realtime.protocol import ProtocolLimits
from ports.errors import DependencyUnavailable
from ports.realtime.socket_tokens import SocketRefusal
from ports.runtime import DeadlineExceeded, Overloaded, Runtime, TaskCancelled
from tests.adapters.socket.doubles import LIFETIME_MS
from tests.adapters.socket.wire import QUICK, Service, guarded
from tests.conformance.runtimes import Driver

BALANCE = BalancePush("acc", posted=750, held=0, available=750, seq=2)


def nothing_is_left(service: Service) -> None:
    """After the last connection nobody is counted, subscribed or waited for."""
    assert service.open == 0
    assert not service.application._connections
    assert len(service.application._deadlines) == 0
    assert not service.realtime._audiences
    assert not service.realtime._by_session


def test_a_client_connects_pings_refreshes_and_leaves(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = Service(runtime)
        wire = await service.dial()
        assert wire.sent[0]["subprotocol"] == "credit-system.v1"
        wire.say(id=1, type="connect", token="alice/ses_a")
        assert await wire.hear() == {
            "id": 1,
            "type": "connected",
            "session": "ses_a",
            "user": "alice",
            "ping_interval": 25,
            "expires_in": LIFETIME_MS // 1_000,
        }
        wire.say(id="p", type="ping")
        assert await wire.hear() == {"id": "p", "type": "ok"}
        wire.say(id=3, type="refresh", token="alice/ses_a/90000")
        assert await wire.hear() == {"id": 3, "type": "ok", "expires_in": 90}
        assert service.open == 1
        wire.hang_up()
        assert await wire.ended() is None
        nothing_is_left(service)
        assert service.metrics.value("credit_websocket_messages_total", "in") == 3
        assert service.metrics.value("credit_websocket_messages_total", "out") == 3

    run(body)


def test_a_push_comes_after_the_reply_to_connect_and_never_before(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = Service(runtime)
        early = await service.log_in()
        for _ in range(5):
            late = await service.dial()
            late.say(id=1, type="connect", token="alice/ses_a")
            publish = runtime.start(
                lambda: service.realtime.publish_to_user("alice", BALANCE), name="publish"
            )
            assert (await late.hear())["type"] == "connected"
            await publish.wait()
            assert (await early.hear())["type"] == "balance"
            await service.realtime.publish_to_user("alice", BALANCE)
            assert (await late.hear())["type"] == (await early.hear())["type"] == "balance"

    run(body)


def test_a_token_is_checked_for_the_device_that_the_upgrade_named(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = Service(runtime)
        for scope in (guarded(device_id="device-0123456789"), {}):
            wire = await service.dial(**scope)
            wire.say(id=1, type="connect", token="alice/ses_a")
            assert (await wire.hear())["type"] == "connected"
        assert service.tokens.devices == ["device-0123456789", None]

    run(body)


def test_frames_sent_behind_a_connect_wait_for_it(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        wire = await Service(runtime).dial()
        wire.say(id=1, type="connect", token="alice/ses_a")
        wire.say(id=2, type="ping")
        wire.say(id=3, type="join", room="r")
        replies = [await wire.hear() for _ in range(3)]
        assert [reply["id"] for reply in replies] == [1, 2, 3]
        assert (replies[2]["type"], replies[2]["code"]) == ("error", "invalid")

    run(body)


def test_a_client_that_says_nothing_is_closed_4408(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        limits = replace(QUICK, protocol=ProtocolLimits(connect_timeout_ms_max=300))
        service = Service(runtime, limits=limits)
        wire = await service.dial()
        assert await wire.ended() is CloseCode.TOO_LATE
        assert service.dropped("too_late") == 1
        nothing_is_left(service)

    run(body)


def test_a_connection_whose_identity_runs_out_is_closed_4401(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = Service(runtime)
        wire = await service.log_in("alice/ses_a/400")
        lasting = await service.log_in("alice/ses_a")
        assert await wire.ended() is CloseCode.NOT_AUTHENTICATED
        lasting.say(id=2, type="ping")
        assert (await lasting.hear())["type"] == "ok"

    run(body)


def test_a_refresh_in_time_keeps_a_connection_beyond_its_first_identity(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = Service(runtime)
        wire, other = await service.log_in("alice/ses_a/400"), await service.log_in("bob/ses_b/400")
        wire.say(id=2, type="refresh", token="alice/ses_a")
        assert (await wire.hear())["type"] == "ok"
        assert await other.ended() is CloseCode.NOT_AUTHENTICATED
        wire.say(id=3, type="ping")
        assert (await wire.hear())["type"] == "ok"

    run(body)


@pytest.mark.parametrize("token", ["bad", "alice/ses_a/0", "alice/ses_a/-1"])
def test_a_bad_or_expired_token_is_closed_4401(run: Driver, token: str) -> None:
    async def body(runtime: Runtime) -> None:
        service = Service(runtime)
        wire = await service.dial()
        wire.say(id=1, type="connect", token=token)
        assert await wire.ended() is CloseCode.NOT_AUTHENTICATED
        assert wire.texts == []
        nothing_is_left(service)

    run(body)


@pytest.mark.parametrize("failure", [DependencyUnavailable("mongo"), Overloaded()])
def test_a_connect_that_nobody_can_check_is_closed_1011_so_that_it_is_tried_again(
    run: Driver, failure: Exception
) -> None:
    async def body(runtime: Runtime) -> None:
        service = Service(runtime)
        service.tokens.failure = failure
        wire = await service.dial()
        wire.say(id=1, type="connect", token="alice/ses_a")
        assert await wire.ended() is CloseCode.FAULT

    run(body)


def test_a_connect_that_the_bus_fails_is_closed_1011(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = Service(runtime)
        service.bus.is_away = True
        wire = await service.dial()
        wire.say(id=1, type="connect", token="alice/ses_a")
        assert await wire.ended() is CloseCode.FAULT
        nothing_is_left(service)

    run(body)


@pytest.mark.parametrize("data", [b"", None, b'{"id":1,"type":"connect","token":"alice/ses_a"}'])
def test_a_binary_frame_is_closed_4400(run: Driver, data: bytes | None) -> None:
    async def body(runtime: Runtime) -> None:
        wire = await Service(runtime).dial()
        wire.say_bytes(data)
        assert await wire.ended() is CloseCode.PROTOCOL_ERROR

    run(body)


def test_a_flood_of_commands_is_closed_4429(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        limits = replace(QUICK, protocol=ProtocolLimits(commands=BucketPolicy(rate_per_s=1, burst=5)))
        wire = await Service(runtime, limits=limits).log_in()
        for number in range(20):
            wire.say(id=number, type="ping")
        assert await wire.ended() is CloseCode.OVER_LIMIT
        assert len(wire.texts) <= 5

    run(body)


def test_a_fault_is_closed_1011_and_reported(run: Driver, caplog: pytest.LogCaptureFixture) -> None:
    async def body(runtime: Runtime) -> None:
        service = Service(runtime)
        service.tokens.failure = ZeroDivisionError("a bug")
        wire = await service.dial()
        wire.say(id=1, type="connect", token="alice/ses_a")
        assert await wire.ended() is CloseCode.FAULT
        nothing_is_left(service)

    with caplog.at_level(logging.ERROR, logger="adapters.socket.connection"):
        run(body)
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_a_client_that_reads_too_slowly_gets_4413_and_harms_nobody(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        limits = replace(QUICK, outbox=OutboxLimits(messages_max=4), send_timeout_s_max=5.0)
        service = Service(runtime, limits=limits)
        slow, quick = await service.log_in(), await service.log_in()
        slow.is_reading = False
        for _ in range(8):
            await service.realtime.publish_to_user("alice", BALANCE)
            assert (await quick.hear())["type"] == "balance"
        slow.read_on()
        assert await slow.ended() is CloseCode.TOO_SLOW
        assert len(slow.texts) <= 5
        assert service.dropped("too_slow") == 1
        quick.say(id=2, type="ping")
        assert (await quick.hear())["type"] == "ok"

    run(body)


def test_a_client_that_never_reads_again_is_given_up(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = Service(runtime)
        wire = await service.log_in()
        wire.is_reading = False
        await service.realtime.publish_to_user("alice", BALANCE)
        assert await wire.ended() is None, "it cannot be told"
        assert service.dropped("too_slow") == 1
        nothing_is_left(service)

    run(body)


def test_a_client_that_never_answers_a_close_is_given_up(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = Service(runtime)
        wire = await service.log_in()
        wire.is_rude = True
        wire.say_text("nonsense")
        wire.say(id=2, type="ping")
        assert await wire.ended() is CloseCode.PROTOCOL_ERROR
        nothing_is_left(service)

    run(body)


def test_a_send_that_fails_since_the_client_is_gone_ends_the_connection_quietly(
    run: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(runtime: Runtime) -> None:
        service = Service(runtime)
        wire = await service.log_in()
        wire.failure = OSError("gone")
        await service.realtime.publish_to_user("alice", BALANCE)
        assert await wire.ended() is None
        nothing_is_left(service)

    run(body)
    assert caplog.records == []


def test_a_closed_session_ends_its_connections_4401(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = Service(runtime)
        await service.realtime.start()
        wire, other = await service.log_in("alice/ses_a"), await service.log_in("alice/ses_b")
        await service.realtime.close_session("ses_a")
        assert await wire.ended() is CloseCode.NOT_AUTHENTICATED
        other.say(id=2, type="ping")
        assert (await other.hear())["type"] == "ok"

    run(body)


def test_a_call_that_the_server_cancels_leaves_nothing_behind(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = Service(runtime)
        wire = await service.log_in()
        wire.call.cancel()
        with pytest.raises(TaskCancelled):
            await wire.call.wait()
        async with runtime.deadline(5):
            while service.bus.live("user:alice"):
                await runtime.sleep(0.001)
        nothing_is_left(service)

    run(body)


def test_a_shutdown_closes_everyone_1012_waits_for_them_and_lets_nobody_in(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = Service(runtime)
        wires = [await service.log_in(f"user{number}/ses") for number in range(3)]
        wires.append(await service.dial())
        wires[0].is_rude = True
        await service.application.close_all()
        nothing_is_left(service)
        assert [await wire.ended() for wire in wires] == [CloseCode.RESTARTING] * 4
        late = await service.dial()
        assert late.sent[0]["status"] == 503

    run(body)


def test_a_shutdown_does_not_wait_longer_than_its_bound(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        limits = replace(QUICK, send_timeout_s_max=8.0, shutdown_timeout_s_max=0.1)
        service = Service(runtime, limits=limits)
        wire = await service.log_in()
        wire.is_reading = False
        await service.application.close_all()
        assert service.open == 1
        wire.read_on()
        assert await wire.ended() is CloseCode.RESTARTING

    run(body)


def test_no_more_connections_are_let_in_than_the_bound(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = Service(runtime, limits=replace(QUICK, connections_max=1))
        first = await service.dial()
        assert (await service.dial()).sent[0]["status"] == 503
        first.hang_up()
        await first.ended()
        assert (await service.dial()).sent[0]["type"] == "websocket.accept"

    run(body)


def test_many_connections_need_one_timer(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        limits = replace(QUICK, protocol=ProtocolLimits(connect_timeout_ms_max=300))
        service = Service(runtime, limits=limits)
        wires = [await service.dial() for _ in range(20)]
        assert {await wire.ended() for wire in wires} == {CloseCode.TOO_LATE}
        async with runtime.deadline(5):
            while service.application._sweeping:
                await runtime.sleep(0.01)
        again = await service.dial()
        assert await again.ended() is CloseCode.TOO_LATE, "the timer starts anew"

    run(body)


def test_a_command_that_takes_too_long_is_given_up(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = Service(runtime)

        async def never(token: str, *, device_id: str | None) -> SocketRefusal:  # noqa: ARG001 - the port's signature
            await runtime.sleep(3_600)
            return SocketRefusal.NOT_VALID

        wire = await service.log_in()
        service.tokens.verify = never  # type: ignore[method-assign] # a check that hangs
        wire.say(id=2, type="refresh", token="alice/ses_a")
        assert (await wire.hear())["code"] == "dependency_unavailable"
        with pytest.raises(DeadlineExceeded):
            async with runtime.deadline(0.05):
                await wire.call.wait()

    run(body)
