"""The connections of this process, and how messages reach them: one bus subscription per user and worker.

The bus may miss messages, and says so (`ports.realtime.bus`). Nothing is lost with them that is kept
elsewhere: ended sessions are found by `application.identity.revocation_watch`, balances by their publisher.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from application.realtime.outgoing import OutgoingPushes, PushFate, PushGroup
from domain.realtime.events import CloseCode
from domain.realtime.messages import Push, balance_place
from ports.realtime.bus import Bus, Subscription
from ports.realtime.socket_tokens import SocketIdentity, SocketRefusal, SocketTokens
from ports.realtime.switchboard import Recipient, Switchboard
from ports.runtime import Runtime

CLOSED_SESSIONS_TOPIC: Final = "realtime:closed-sessions"
CLOSED_SESSIONS_MAX: Final = 10_000
"""Sessions closed lately that a worker remembers; the oldest go first."""
CLOSED_SESSIONS_S: Final = 60.0
"""How long: longer than any client may take between the check of its token and being attached."""
BALANCES_TOLD_MAX: Final = 1_024
"""Of a user's accounts, whose newest balance told is remembered, so that no older one follows it."""
_REASONS: Final = {CloseCode.FORBIDDEN: "banned", CloseCode.RESTARTING: "reconnect: something was missed"}


def _ignored(_: PushFate) -> None:
    """For pushes that may be lost without a word."""


class _Audience:
    """A user's connections here. It has a subscription while it has members; the lock guards the change."""

    __slots__ = ("lock", "members", "subscription", "told")

    def __init__(self, runtime: Runtime) -> None:
        self.lock = runtime.lock()
        # A tuple: most users have one connection, and a delivery sees the members of its moment.
        self.members: tuple[Recipient, ...] = ()
        self.subscription: Subscription | None = None
        self.told: dict[str, int] = {}

    def deliver(self, message: bytes) -> None:
        """To all members, unless a newer balance of that account was told: two publishers have no order, and
        a missed balance may come after a later one."""
        if (place := balance_place(message)) is not None:
            account, seq = place
            if seq < self.told.get(account, 0):
                return
            self.told[account] = seq
            if len(self.told) > BALANCES_TOLD_MAX:
                del self.told[next(iter(self.told))]
        text = message.decode("utf-8", "replace")
        for recipient in self.members:
            recipient.deliver(text, len(message))


class Realtime:
    """Messages to users, over all transports that attach. Needs `start` before the first `attach`."""

    def __init__(self, *, runtime: Runtime, bus: Bus, tokens: SocketTokens) -> None:
        self._runtime = runtime
        self._bus = bus
        self._tokens = tokens
        self._audiences: dict[str, _Audience] = {}
        self._by_session: dict[str, tuple[Recipient, ...]] = {}
        self._closed_lately: dict[str, float] = {}
        self._closings: Subscription | None = None
        self._outgoing = OutgoingPushes(runtime, bus)

    async def start(self) -> None:
        """Listens for sessions that any worker closes. Raises `DependencyUnavailable`."""
        if self._closings is None:
            self._closings = await self._bus.subscribe(CLOSED_SESSIONS_TOPIC, self._on_closed_session)

    async def stop(self) -> None:
        """The opposite of `start`: closes what is attached still, as the service restarts, and gives queued
        pushes a moment to go out."""
        for audience in list(self._audiences.values()):
            for recipient in audience.members:
                recipient.close(CloseCode.RESTARTING, "the service is restarting")
        await self._outgoing.stop()
        closings, self._closings = self._closings, None
        if closings is not None:
            await closings.close()

    async def authenticate(self, token: str, *, device_id: str | None) -> SocketIdentity | SocketRefusal:
        """Whose token it is, or why it is not good. Raises `DependencyUnavailable`."""
        return await self._tokens.verify(token, device_id=device_id)

    async def attach(self, recipient: Recipient, identity: SocketIdentity) -> bool:
        """From its return on, the recipient misses nothing that is published to its user.

        False when its session was closed meanwhile. Raises `DependencyUnavailable`. However it ends,
        the caller detaches in the end.
        """
        audience = self._audiences.get(identity.user_id)
        if audience is None:
            audience = self._audiences[identity.user_id] = _Audience(self._runtime)
        audience.members += (recipient,)
        self._index(recipient, identity.session_id)
        if audience.subscription is None:
            # Shielded, for a cancelled caller must not leave a subscription without an owner.
            await self._runtime.shielded(
                partial(self._settle, identity.user_id, audience), name="realtime subscribe"
            )
        return identity.session_id not in self._closed_lately

    def renew(self, recipient: Recipient, before: SocketIdentity, after: SocketIdentity) -> bool:
        """A refreshed identity of the same user; its session may be another. False when that was closed."""
        if before.session_id != after.session_id:
            self._unindex(recipient, before.session_id)
            self._index(recipient, after.session_id)
        return after.session_id not in self._closed_lately

    async def detach(self, recipient: Recipient, identity: SocketIdentity) -> None:
        """Forgets the recipient; may be repeated. A cancelled caller's user is unsubscribed all the same."""
        self._unindex(recipient, identity.session_id)
        audience = self._audiences.get(identity.user_id)
        if audience is None:
            return
        audience.members = tuple(member for member in audience.members if member is not recipient)
        if not audience.members:
            await self._runtime.shielded(
                partial(self._settle, identity.user_id, audience), name="realtime unsubscribe"
            )

    async def publish_to_user(self, user_id: str, push: Push) -> None:
        """To every connection of the user, on every worker, at most once. Raises `DependencyUnavailable`."""
        await self._bus.publish(_topic(user_id), push.encode())

    def queue_to_users(
        self, pushes: Sequence[tuple[str, Push]], *, ended: Callable[[PushFate], None] = _ignored
    ) -> None:
        """As `publish_to_user`, for pairs of user id and push, without waiting for the bus.

        Calls go out in order, the pushes of each together. `ended` is told once what became of them; it
        must not block nor raise. At most 65,536 pushes wait; past that those of the oldest calls are dropped.
        """
        self._outgoing.add(PushGroup([(_topic(user_id), push) for user_id, push in pushes], ended))

    async def close_session(self, session_id: str, code: CloseCode = CloseCode.NOT_AUTHENTICATED) -> None:
        """Ends the session's connections, here and on every worker. Raises `DependencyUnavailable`.

        Those of this worker are closed even when the bus is away.
        """
        self.close_session_here(session_id, code)
        await self._say_closed({"session": session_id, "code": code.value})

    async def close_user(self, user_id: str, code: CloseCode) -> None:
        """The same for all connections of a user."""
        self.close_user_here(user_id, code)
        await self._say_closed({"user": user_id, "code": code.value})

    # --- for those who make good what the bus missed

    @property
    def hears_all(self) -> bool:
        """Whether the bus misses nothing, as far as this worker knows."""
        return self._bus.is_whole

    def on_gap(self, callback: Callable[[], None]) -> None:
        """Calls back when the bus may have missed something and hears everything again."""
        self._bus.on_gap(callback)

    def sessions_here(self) -> list[str]:
        """Those with a connection to this process."""
        return list(self._by_session)

    def users_here(self) -> list[str]:
        """The same of users."""
        return list(self._audiences)

    def is_here(self, user_id: str) -> bool:
        """Whether the user is connected to this process."""
        return user_id in self._audiences

    def deliver_here(self, user_id: str, push: Push) -> None:
        """To the user's connections to this process; a balance older than one that was told, to none."""
        if (audience := self._audiences.get(user_id)) is not None:
            audience.deliver(push.encode())

    async def tell_workers(self, topic: str, message: bytes) -> None:
        """To all that hear the topic in any worker. Raises `DependencyUnavailable`."""
        await self._bus.publish(topic, message)

    async def hear_workers(self, topic: str, receive: Callable[[bytes], None]) -> Subscription:
        """Calls `receive` with what workers tell about the topic. Raises `DependencyUnavailable`."""
        return await self._bus.subscribe(topic, receive)

    async def _say_closed(self, word: dict[str, str | int]) -> None:
        await self._bus.publish(CLOSED_SESSIONS_TOPIC, json.dumps(word, separators=(",", ":")).encode())

    async def _settle(self, user_id: str, audience: _Audience) -> None:
        """Subscribes the audience that has members, or forgets the one that has none."""
        async with audience.lock:
            if audience.members:
                if audience.subscription is None:
                    audience.subscription = await self._bus.subscribe(_topic(user_id), audience.deliver)
                return
            subscription, audience.subscription = audience.subscription, None
            try:
                if subscription is not None:
                    await subscription.close()
            finally:
                # A member may have joined while the old subscription ended, and waits for the lock now.
                if not audience.members and self._audiences.get(user_id) is audience:
                    del self._audiences[user_id]

    def _on_closed_session(self, message: bytes) -> None:
        try:
            closed = json.loads(message)
            code, kind = CloseCode(closed["code"]), "user" if "user" in closed else "session"
            named = str(closed[kind])
        except (ValueError, KeyError, TypeError):
            return  # said by a worker of another release, in words that this one does not know
        if kind == "user":
            self.close_user_here(named, code)
        else:
            self.close_session_here(named, code)

    def close_session_here(self, session_id: str, code: CloseCode) -> None:
        """Ends the session's connections to this process."""
        self._remember_closed(session_id)
        for recipient in self._by_session.get(session_id, ()):
            recipient.close(code, _REASONS.get(code, "the session was ended"))

    def close_user_here(self, user_id: str, code: CloseCode) -> None:
        """Ends the user's connections to this process."""
        audience = self._audiences.get(user_id)
        for recipient in () if audience is None else audience.members:
            recipient.close(code, _REASONS.get(code, "the session was ended"))

    def _remember_closed(self, session_id: str) -> None:
        """For a client whose token was checked before, and who is attached after."""
        now = self._runtime.monotonic()
        self._closed_lately.pop(session_id, None)
        self._closed_lately[session_id] = now
        oldest, since = next(iter(self._closed_lately.items()))
        while len(self._closed_lately) > CLOSED_SESSIONS_MAX or now - since > CLOSED_SESSIONS_S:
            del self._closed_lately[oldest]
            oldest, since = next(iter(self._closed_lately.items()))

    def _index(self, recipient: Recipient, session_id: str) -> None:
        self._by_session[session_id] = (*self._by_session.get(session_id, ()), recipient)

    def _unindex(self, recipient: Recipient, session_id: str) -> None:
        left = tuple(other for other in self._by_session.get(session_id, ()) if other is not recipient)
        if left:
            self._by_session[session_id] = left
        else:
            self._by_session.pop(session_id, None)


def _topic(user_id: str) -> str:
    return f"user:{user_id}"


def _proof(realtime: Realtime) -> Switchboard:
    """mypy holds the service to its port here."""
    return realtime
