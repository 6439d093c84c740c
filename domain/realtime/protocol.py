"""The protocol `credit-system.v1` as a sans-IO machine, in the manner of h11.

Frames and time go in, values (`domain.realtime.events`) come out; the machine never reads, writes or waits.
Time is integer milliseconds of a clock that never runs back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeGuard

from domain.realtime.bucket import BucketPolicy, take
from domain.realtime.events import (
    Authenticate,
    Close,
    CloseCode,
    ErrorCode,
    Granted,
    Output,
    Reauthenticate,
    Refusal,
    Send,
    Verdict,
    Welcome,
)
from domain.realtime.frames import (
    FRAME_BYTES_MAX,
    CommandId,
    Frame,
    Malformed,
    decode,
    error,
    reply,
    size_bytes,
)

SUBPROTOCOL = "credit-system.v1"
PING_INTERVAL_S = 25
TOKEN_LENGTH_MAX = 8_192
COMMANDS = BucketPolicy(rate_per_s=50, burst=100)


@dataclass(frozen=True, slots=True)
class ProtocolLimits:
    """`connect_timeout_ms_max` is how long a client may take to say who it is.

    While a command is carried out, at most `frames_waiting_max` later ones wait, `bytes_waiting_max` in all.
    """

    connect_timeout_ms_max: int = 10_000
    commands: BucketPolicy = COMMANDS
    frames_waiting_max: int = 16
    bytes_waiting_max: int = FRAME_BYTES_MAX


class State(Enum):
    AWAITING_CONNECT = auto()
    AUTHENTICATING = auto()
    CONNECTED = auto()
    REFRESHING = auto()
    CLOSED = auto()


class Step(Enum):
    CONNECT_ASKED = auto()
    REFRESH_ASKED = auto()
    ANSWERED = auto()
    """A verdict came and the connection goes on."""
    ENDED = auto()


TRANSITIONS: Mapping[State, Mapping[Step, State]] = {
    State.AWAITING_CONNECT: {Step.CONNECT_ASKED: State.AUTHENTICATING, Step.ENDED: State.CLOSED},
    State.AUTHENTICATING: {Step.ANSWERED: State.CONNECTED, Step.ENDED: State.CLOSED},
    State.CONNECTED: {Step.REFRESH_ASKED: State.REFRESHING, Step.ENDED: State.CLOSED},
    State.REFRESHING: {Step.ANSWERED: State.CONNECTED, Step.ENDED: State.CLOSED},
    State.CLOSED: {},
}
"""Every legal transition. While AUTHENTICATING or REFRESHING the machine waits for a `Verdict`."""

Outputs = tuple[Output, ...]


class ConnectionMachine:
    """One connection, from its first frame to its close. No input makes it raise; misuse does (RuntimeError).

    Each command gets at most one reply, in the order of arrival; after a close nothing comes out.
    """

    __slots__ = (
        "_bucket",
        "_deadline_ms",
        "_limits",
        "_pending",
        "_state",
        "_user",
        "_waiting",
        "_waiting_bytes",
    )

    def __init__(self, limits: ProtocolLimits, now_ms: int) -> None:
        self._limits = limits
        self._state = State.AWAITING_CONNECT
        self._deadline_ms = now_ms + limits.connect_timeout_ms_max
        self._bucket = limits.commands.full(now_ms)
        self._user: str | None = None
        self._pending: CommandId | None = None
        self._waiting: list[str | bytes] = []
        self._waiting_bytes = 0

    @property
    def state(self) -> State:
        return self._state

    @property
    def deadline_ms(self) -> int | None:
        """When `tick` is due: the end of patience with a silent client, or of its identity.

        None while a verdict is awaited (its finder bounds that time) and after the close.
        """
        return self._deadline_ms if self._state in {State.AWAITING_CONNECT, State.CONNECTED} else None

    def receive(self, frame: str | bytes, now_ms: int) -> Outputs:
        """A whole frame from the client."""
        if self._state is State.CLOSED:
            return ()
        if expired := self.tick(now_ms):
            return expired
        bucket = take(self._limits.commands, self._bucket, now_ms)
        if bucket is None:
            return self.end(CloseCode.OVER_LIMIT, "too many commands")
        self._bucket = bucket
        if len(frame) > FRAME_BYTES_MAX or size_bytes(frame) > FRAME_BYTES_MAX:
            return self.end(CloseCode.TOO_BIG, f"a frame holds at most {FRAME_BYTES_MAX} bytes")
        if self._state in {State.AUTHENTICATING, State.REFRESHING}:
            return self._keep(frame)
        return self._handle(frame)

    def answer(self, verdict: Verdict, now_ms: int) -> Outputs:
        """The verdict on the last `Authenticate` or `Reauthenticate`; frames that waited are handled now."""
        if self._state is State.CLOSED:
            return ()
        if self._state is State.AUTHENTICATING:
            outputs = self._settle_connect(verdict, now_ms)
        elif self._state is State.REFRESHING:
            outputs = self._settle_refresh(verdict, now_ms)
        else:
            raise RuntimeError("no verdict is awaited")
        return outputs + self._catch_up()

    def tick(self, now_ms: int) -> Outputs:
        """Time has passed."""
        deadline_ms = self.deadline_ms
        if deadline_ms is None or now_ms < deadline_ms:
            return ()
        if self._state is State.AWAITING_CONNECT:
            return self.end(CloseCode.TOO_LATE, "connect did not come in time")
        return self.end(CloseCode.NOT_AUTHENTICATED, "expired without a refresh")

    def end(self, code: CloseCode, reason: str) -> Outputs:
        """Closes it, for a reason of the service's; nothing when it is closed already."""
        if self._state is State.CLOSED:
            return ()
        self._move(Step.ENDED)
        self._waiting.clear()
        self._waiting_bytes = 0
        return (Close(code, reason),)

    def lost(self) -> None:
        """The client is gone."""
        self.end(CloseCode.FAULT, "")

    def _move(self, step: Step) -> None:
        self._state = TRANSITIONS[self._state][step]

    def _keep(self, frame: str | bytes) -> Outputs:
        self._waiting_bytes += size_bytes(frame)
        if (
            len(self._waiting) >= self._limits.frames_waiting_max
            or self._waiting_bytes > self._limits.bytes_waiting_max
        ):
            return self.end(CloseCode.OVER_LIMIT, "too many commands before the last was answered")
        self._waiting.append(frame)
        return ()

    def _catch_up(self) -> Outputs:
        outputs: Outputs = ()
        while self._waiting and self._state is State.CONNECTED:
            frame = self._waiting.pop(0)
            self._waiting_bytes -= size_bytes(frame)
            outputs += self._handle(frame)
        return outputs

    def _handle(self, frame: str | bytes) -> Outputs:
        command = decode(frame)
        if isinstance(command, Malformed):
            return self.end(CloseCode.PROTOCOL_ERROR, command.reason)
        if self._state is State.AWAITING_CONNECT:
            return self._connect(command)
        match command.type:
            case "ping":
                return (Send(reply(command.id, "ok")),)
            case "refresh":
                return self._refresh(command)
            case "connect":
                return _invalid(command, "connected already")
            case _:
                return _invalid(command, "no such command")

    def _connect(self, command: Frame) -> Outputs:
        token = command.fields.get("token")
        if command.type != "connect" or not _is_token(token):
            return self.end(CloseCode.PROTOCOL_ERROR, "the first frame is a connect with a token")
        self._move(Step.CONNECT_ASKED)
        self._pending = command.id
        return (Authenticate(token),)

    def _refresh(self, command: Frame) -> Outputs:
        token = command.fields.get("token")
        if not _is_token(token):
            return _invalid(command, "refresh needs a token")
        self._move(Step.REFRESH_ASKED)
        self._pending = command.id
        return (Reauthenticate(token),)

    def _settle_connect(self, verdict: Verdict, now_ms: int) -> Outputs:
        if verdict is Refusal.UNAVAILABLE:
            return self.end(CloseCode.FAULT, "clients cannot be authenticated now")
        if verdict is Refusal.BANNED:
            return self.end(CloseCode.FORBIDDEN, "banned")
        if verdict is Refusal.OVER_LIMIT:
            return self.end(CloseCode.OVER_LIMIT, "quota_exceeded")
        if isinstance(verdict, Refusal) or verdict.lifetime_ms <= 0:
            return self._refuse(verdict)
        command_id = self._accept(verdict, now_ms)
        return (
            Welcome(
                reply(
                    command_id,
                    "connected",
                    session=verdict.session,
                    user=verdict.user,
                    ping_interval=PING_INTERVAL_S,
                    expires_in=verdict.lifetime_ms // 1_000,
                )
            ),
        )

    def _settle_refresh(self, verdict: Verdict, now_ms: int) -> Outputs:
        if verdict is Refusal.UNAVAILABLE:
            return (Send(error(self._resume(), ErrorCode.DEPENDENCY_UNAVAILABLE, "try again later")),)
        if isinstance(verdict, Refusal) or verdict.lifetime_ms <= 0:
            return self._refuse(verdict)
        if verdict.user != self._user:
            return (Send(error(self._resume(), ErrorCode.FORBIDDEN, "the token is another user's")),)
        command_id = self._accept(verdict, now_ms)
        return (Send(reply(command_id, "ok", expires_in=verdict.lifetime_ms // 1_000)),)

    def _refuse(self, verdict: Verdict) -> Outputs:
        match verdict:
            case Refusal.WRONG_DEVICE:
                reason = (
                    "device_mismatch: connect with the login's X-Device-Id or cookie, or a WebSocket token"
                )
            case Refusal.OTHER_KIND:
                reason = "this is neither a WebSocket token nor an access token"
            case _:
                reason = "the token is not valid"
        return self.end(CloseCode.NOT_AUTHENTICATED, reason)

    def _accept(self, granted: Granted, now_ms: int) -> CommandId:
        self._user = granted.user
        self._deadline_ms = now_ms + granted.lifetime_ms
        return self._resume()

    def _resume(self) -> CommandId:
        command_id = self._pending
        assert command_id is not None, "a verdict is awaited by exactly one command"  # noqa: S101 - an invariant
        self._pending = None
        self._move(Step.ANSWERED)
        return command_id


def _invalid(command: Frame, detail: str) -> Outputs:
    return (Send(error(command.id, ErrorCode.INVALID, detail)),)


def _is_token(token: object) -> TypeGuard[str]:
    return (
        isinstance(token, str)
        and 0 < len(token) <= TOKEN_LENGTH_MAX
        and token.isascii()
        and token.isprintable()
    )
