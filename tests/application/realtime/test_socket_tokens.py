"""A token opens a socket only while its session is active, by the same rule as everywhere else."""

from __future__ import annotations

import pytest

from application.realtime.socket_tokens import RevocationFanOut, SocketTokenVerifier
from application.realtime.switchboard import Realtime
from domain.identity.sessions import SessionState
from domain.identity.tokens import TokenKind
from domain.realtime.events import CloseCode
from ports.errors import DependencyUnavailable
from ports.realtime.socket_tokens import SocketIdentity, SocketRefusal
from ports.runtime import Runtime
from tests.adapters.socket.doubles import Mailbox, NamedTokens, ObservedBus, identity
from tests.application.identity.test_api_keys import simulated
from tests.application.identity.use_cases import CONTEXT, START_MS, House, NotedRevocations, build

DEVICE = "device-of-ada-0001"


def verifier(house: House) -> SocketTokenVerifier:
    return SocketTokenVerifier(
        tokens=house.tokens,
        devices=house.devices,
        users=house.users_kept,
        sessions=house.sessions_kept,
        clock=house.clock,
    )


@pytest.mark.parametrize("state", list(SessionState))
@pytest.mark.parametrize("kind", list(TokenKind))
def test_a_token_opens_a_socket_only_while_its_session_is_active(
    state: SessionState, kind: TokenKind
) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        user = await house.registered()
        pair = await house.logged_in(device_id=DEVICE)
        session = await house.sessions_kept.get(pair.session_id)
        assert session is not None
        if state is SessionState.EXPIRED:
            # A token of the last moment: its session ends before it does.
            house.clock.ms = session.idle_expires_ms - 1
        token = house.tokens.issue(kind, user, session).text
        verify = verifier(house).verify
        found = await verify(token, device_id=DEVICE)
        assert isinstance(found, SocketIdentity)
        assert (found.user_id, found.session_id) == (user.id, session.id)
        if state is SessionState.EXPIRED:
            house.clock.ms += 1
        elif state is SessionState.REVOKED:
            assert await house.sessions.revoke_session(user.id, session.id, CONTEXT)
        kept = await house.sessions_kept.get(session.id)
        assert kept is not None
        assert kept.state(house.clock.ms) is state
        found = await verify(token, device_id=DEVICE)
        assert (found is SocketRefusal.NOT_VALID) == (state is not SessionState.ACTIVE)

    simulated(body)


def test_the_minute_of_a_websocket_token_is_for_connecting() -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        user = await house.registered()
        pair = await house.logged_in(device_id=DEVICE)
        session = await house.sessions_kept.get(pair.session_id)
        assert session is not None
        token = house.tokens.issue(TokenKind.WEBSOCKET, user, session).text
        house.clock.ms = START_MS + 50_000
        found = await verifier(house).verify(token, device_id=None)
        assert isinstance(found, SocketIdentity)
        assert found.expires_ms == house.clock.ms + TokenKind.ACCESS.lifetime_s * 1000

    simulated(body)


@pytest.mark.parametrize("is_away", [False, True])
def test_a_revocation_closes_the_sockets_of_its_session_even_without_the_limiter(is_away: bool) -> None:
    async def body(runtime: Runtime) -> None:
        realtime = Realtime(runtime=runtime, bus=ObservedBus(runtime), tokens=NamedTokens())
        limiter, box = NotedRevocations(), Mailbox()
        limiter.away = is_away
        await realtime.start()
        await realtime.attach(box, identity("ada", "ses_ada"))
        fan_out = RevocationFanOut(limiter=limiter, realtime=realtime)
        if is_away:
            with pytest.raises(DependencyUnavailable):
                await fan_out.revoke_session("ses_ada", ttl_ms=1_000)
        else:
            await fan_out.revoke_session("ses_ada", ttl_ms=1_000)
            assert limiter.told == [("ses_ada", 1_000)]
        await runtime.sleep(0.01)
        # Once here and once over the bus, as this mailbox does not leave when it is closed.
        assert set(box.closes) == {CloseCode.NOT_AUTHENTICATED}
        await realtime.stop()

    simulated(body)
