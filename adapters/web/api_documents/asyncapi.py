"""The AsyncAPI document of the WebSocket protocol, made from the shapes of its messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from adapters.web.api_documents.shapes import Shapes
from domain.realtime.events import CloseCode, ErrorCode
from domain.realtime.frames import FRAME_BYTES_MAX, ID_LENGTH_MAX
from domain.realtime.protocol import SUBPROTOCOL, TOKEN_LENGTH_MAX

ADDRESS = "/ws"

CommandId = Annotated[
    int | Annotated[str, Meta(min_length=1, max_length=ID_LENGTH_MAX)],
    Meta(title="CommandId", description="Of the client's choice; the reply has it"),
]
Token = Annotated[
    str, Meta(min_length=1, max_length=TOKEN_LENGTH_MAX, description="From `POST /auth/websocket-token`")
]
Minor = Annotated[int, Meta(description="Minor units, never a fraction")]


class FrameShape(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """One text frame: a JSON object that says of what type it is."""


class Connect(FrameShape, frozen=True, kw_only=True, tag="connect"):
    """The first frame, within 10 s: who connects."""

    id: CommandId
    token: Token


class Refresh(FrameShape, frozen=True, kw_only=True, tag="refresh"):
    """A new token of the same user, before the last one ends."""

    id: CommandId
    token: Token


class Ping(FrameShape, frozen=True, kw_only=True, tag="ping"):
    """Asks whether the service still is there."""

    id: CommandId


class Connected(FrameShape, frozen=True, kw_only=True, tag="connected"):
    """The reply to `connect`. Nothing comes before it."""

    id: CommandId
    session: str
    user: str
    ping_interval: Annotated[int, Meta(description="Seconds between the service's own pings")]
    expires_in: Annotated[int, Meta(description="Seconds until a `refresh` must have come")]


class Done(FrameShape, frozen=True, kw_only=True, tag="ok"):
    """The command was carried out."""

    id: CommandId
    expires_in: Annotated[int, Meta(description="Seconds, after a `refresh`")] | UnsetType = UNSET


class Refused(FrameShape, frozen=True, kw_only=True, tag="error"):
    """The command was not carried out; the connection stays."""

    id: CommandId
    code: ErrorCode
    detail: Annotated[str, Meta(description="For people")]


class Balance(FrameShape, frozen=True, kw_only=True, tag="balance"):
    """An account of the user's moved: its balance after the journal document `seq`."""

    account: str
    posted: Minor
    held: Minor
    available: Minor
    seq: int


class LowBalance(FrameShape, frozen=True, kw_only=True, tag="low_balance"):
    """The journal document `seq` left less available than the account's threshold; before it was not so."""

    account: str
    available: Minor
    threshold: Minor
    seq: int


class Direct(FrameShape, frozen=True, kw_only=True, rename={"sender": "from"}, tag="direct"):
    """Something said to this user alone."""

    event: str
    data: Annotated[Any, Meta(description="Any JSON, as it was given")]
    sender: Annotated[str | None, Meta(description="A user's id; null when a service said it")]


REPLIES: dict[type[FrameShape], tuple[type[FrameShape], ...]] = {
    Connect: (Connected,),
    Refresh: (Done, Refused),
    Ping: (Done,),
}
"""Every command, and what it can be answered with. An unknown or untimely one gets `error`."""
PUSHES: tuple[type[FrameShape], ...] = (Balance, LowBalance, Direct)

_DESCRIPTION = f"""\
Text frames of JSON, at most {FRAME_BYTES_MAX} bytes each, under the subprotocol `{SUBPROTOCOL}`. The first \
frame is `connect`. Each command has an `id` and gets one reply with it, in the order in which they came.

A client has to offer the subprotocol. One that offers none is closed with 4400 as soon as the connection \
is open, and the reason names it: an HTTP refusal is hidden from the pages of a browser, which see 1006 and \
come again. One that offers only others is refused before the upgrade with 400, a foreign `Origin` with 403, \
and a request for no upgrade with 426.

The service ends a connection with one of these codes; those of 44xx but 4413 and 4429 are final: do not \
reconnect unchanged. The reason of a 4401 begins with `device_mismatch` where an access token came without \
its device: name it at the upgrade, or connect with a WebSocket token. After 1012 reconnect, with jitter. \
The HTTP routes stand in `/openapi.json`.

"""


def asyncapi_document(*, title: str, version: str) -> dict[str, Any]:
    """AsyncAPI 3.0. Told from the service's side: it receives commands and sends the rest."""
    messages: list[type[FrameShape]] = [*REPLIES, Connected, Done, Refused, *PUSHES]
    shapes = Shapes(taken=REPLIES, given=[Connected, Done, Refused, *PUSHES])
    codes = "\n".join(f"- {code.value}: {code.name.lower().replace('_', ' ')}" for code in CloseCode)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": title,
            "version": version,
            "description": _DESCRIPTION + codes,
        },
        "defaultContentType": "application/json",
        "channels": {
            "socket": {
                "address": ADDRESS,
                "title": "The WebSocket",
                "messages": {_name(each): _reference("components/messages", each) for each in messages},
            }
        },
        "operations": {
            **{_name(command): _command(command, replies) for command, replies in REPLIES.items()},
            **{_name(push): _operation("send", [push], _summary(push)) for push in PUSHES},
        },
        "components": {
            "messages": {
                _name(each): {
                    "name": _name(each),
                    "title": each.__name__,
                    "summary": _summary(each),
                    "payload": _reference("components/schemas", each, name=each.__name__),
                }
                for each in messages
            },
            "schemas": shapes.components,
        },
    }


def _command(command: type[FrameShape], replies: Sequence[type[FrameShape]]) -> dict[str, Any]:
    operation = _operation("receive", [command], _summary(command))
    return {**operation, "reply": {"channel": _SOCKET, "messages": _in_channel(replies)}}


def _operation(action: str, messages: Sequence[type[FrameShape]], summary: str) -> dict[str, Any]:
    return {"action": action, "channel": _SOCKET, "summary": summary, "messages": _in_channel(messages)}


_SOCKET = {"$ref": "#/channels/socket"}


def _in_channel(messages: Sequence[type[FrameShape]]) -> list[dict[str, str]]:
    return [_reference("channels/socket/messages", each) for each in messages]


def _reference(place: str, message: type[FrameShape], *, name: str = "") -> dict[str, str]:
    return {"$ref": f"#/{place}/{name or _name(message)}"}


def _name(message: type[FrameShape]) -> str:
    """The type that its frames carry."""
    return str(message.__struct_config__.tag)


def _summary(message: type[FrameShape]) -> str:
    return str(message.__doc__)
