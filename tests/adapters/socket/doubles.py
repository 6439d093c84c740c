"""What the realtime service asks of the outside, as tests need it: observable, and able to fail."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from domain.identity.users import Role
from domain.realtime.events import CloseCode
from ports.errors import DependencyUnavailable
from ports.limits.message_limit import MessageVerdict
from ports.realtime.bus import Bus, Message
from ports.realtime.socket_tokens import SocketIdentity, SocketRefusal, SocketTokens
from ports.realtime.switchboard import Recipient
from ports.runtime import Event, Runtime

LIFETIME_MS = 300_000


class ObservedBus:
    """One process. Every call gives way to other tasks first, as a networked bus would."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._receivers: defaultdict[str, list[Callable[[bytes], None]]] = defaultdict(list)
        self.subscribed: defaultdict[str, int] = defaultdict(int)
        """How often each topic was subscribed to in all."""
        self.is_away = False
        self._resumed: Event | None = None
        self.calls: list[set[str]] = []
        """The topics of each call that published something."""
        self.is_whole = True
        self._on_gap: list[Callable[[], None]] = []

    def on_gap(self, callback: Callable[[], None]) -> None:
        self._on_gap.append(callback)

    def tell_of_gap(self) -> None:
        """As if messages had been missed."""
        for callback in self._on_gap:
            callback()

    def live(self, topic: str) -> int:
        """Subscriptions to the topic now."""
        return len(self._receivers[topic])

    def hang(self) -> None:
        """From now on no call gets an answer, until `resume`."""
        self._resumed = self._runtime.event()

    def resume(self) -> None:
        assert self._resumed is not None
        self._resumed.set()
        self._resumed = None

    async def publish(self, topic: str, message: bytes) -> None:
        await self.publish_many([(topic, message)])

    async def publish_many(self, messages: Iterable[Message]) -> None:
        taken = list(messages)
        self.calls.append({topic for topic, _ in taken})
        await self._answer()
        for topic, message in taken:
            for receive in list(self._receivers[topic]):
                receive(message)

    async def subscribe(self, topic: str, receive: Callable[[bytes], None]) -> ObservedSubscription:
        await self._answer()
        self.subscribed[topic] += 1
        self._receivers[topic].append(receive)
        return ObservedSubscription(self, topic, receive)

    async def leave(self, topic: str, receive: Callable[[bytes], None]) -> None:
        await self._runtime.sleep(0)
        self._receivers[topic].remove(receive)

    async def _answer(self) -> None:
        await self._runtime.sleep(0)
        if self._resumed is not None:
            await self._resumed.wait()
        if self.is_away:
            raise DependencyUnavailable("bus")


class ObservedSubscription:
    def __init__(self, bus: ObservedBus, topic: str, receive: Callable[[bytes], None]) -> None:
        self._bus, self._topic, self._receive = bus, topic, receive

    async def close(self) -> None:
        await self._bus.leave(self._topic, self._receive)


class NamedTokens:
    """A token is `user/session`, or `user/session/expires_ms`; one that starts with `bad` is nobody's."""

    def __init__(self, now_ms: Callable[[], int] = lambda: 0) -> None:
        self._now_ms = now_ms
        self.failure: Exception | None = None
        self.devices: list[str | None] = []

    async def verify(self, token: str, *, device_id: str | None) -> SocketIdentity | SocketRefusal:
        self.devices.append(device_id)
        if self.failure is not None:
            raise self.failure
        if token.startswith("bad"):
            return SocketRefusal.NOT_VALID
        user, session, *expires = token.split("/")
        expires_ms = int(expires[0]) if expires else self._now_ms() + LIFETIME_MS
        return identity(user, session, expires_ms)


class Talk:
    """Who said how much; `verdict` is the answer to all of it."""

    def __init__(self) -> None:
        self.verdict = MessageVerdict.ALLOWED
        self.failure: Exception | None = None
        self.taken: list[str] = []

    async def take(self, user_id: str) -> MessageVerdict:
        self.taken.append(user_id)
        if self.failure is not None:
            raise self.failure
        return self.verdict


def identity(user: str, session: str, expires_ms: int = LIFETIME_MS) -> SocketIdentity:
    return SocketIdentity(user, user.title(), frozenset({Role.USER}), session, expires_ms)


class Mailbox:
    """A recipient that keeps what it gets."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.closes: list[CloseCode] = []

    def deliver(self, text: str, size_bytes: int) -> None:
        assert size_bytes == len(text.encode())
        self.texts.append(text)

    def close(self, code: CloseCode, reason: str) -> None:
        assert reason
        self.closes.append(code)


def _proof(bus: ObservedBus, tokens: NamedTokens, mailbox: Mailbox) -> tuple[Bus, SocketTokens, Recipient]:
    """mypy holds the doubles to the ports here."""
    return bus, tokens, mailbox
