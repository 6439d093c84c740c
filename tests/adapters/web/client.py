"""A client that calls an ASGI application as a server would, with every byte in the test's hands."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import msgspec

from adapters.asgi.types import Application, Message

PEER = "203.0.113.9"
HeaderItems = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for known, value in self.headers if known.lower() == name.lower()]

    def header(self, name: str) -> str:
        """The one header of this name."""
        (value,) = self.all(name)
        return value

    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str:
        """Of a problem, which it must be."""
        assert self.header("content-type") == "application/problem+json"
        problem = self.json()
        assert set(problem) >= {"type", "title", "status", "code", "detail", "request_id"}
        assert problem["status"] == self.status
        assert problem["request_id"] == self.header("x-request-id")
        code: str = problem["code"]
        return code


class Client:
    def __init__(self, application: Application, *, peer: str | None = PEER) -> None:
        self._application = application
        self.peer = peer
        self.scopes: list[MutableMapping[str, Any]] = []

    async def request(
        self,
        method: str,
        target: str,
        *,
        json: object = None,
        body: bytes | None = None,
        chunks: Sequence[bytes] = (),
        headers: Mapping[str, str] | HeaderItems = (),
        disconnected: bool = False,
    ) -> Reply:
        """`chunks` go as separate messages; `disconnected` sends a disconnect in place of the last."""
        items = list(headers.items() if isinstance(headers, Mapping) else headers)
        if json is not None:
            body = msgspec.json.encode(json)
            items.append(("Content-Type", "application/json"))
        parts = list(chunks) or [body or b""]
        messages: list[Message] = [
            {"type": "http.request", "body": part, "more_body": number < len(parts)}
            for number, part in enumerate(parts, start=1)
        ]
        if disconnected:
            messages[-1] = {"type": "http.disconnect"}
        messages.append({"type": "http.disconnect"})
        sent: list[Message] = []

        async def receive() -> Message:
            return messages.pop(0)

        async def send(message: Message) -> None:
            sent.append(message)

        await self._application(self._scope("http", method, target, items), receive, send)
        return _reply(sent, "http.response")

    async def connect(
        self, target: str, *, headers: Mapping[str, str] | HeaderItems = (), can_deny: bool = True
    ) -> list[Message]:
        """What the application answers to a WebSocket's connect."""
        items = list(headers.items() if isinstance(headers, Mapping) else headers)
        scope = self._scope("websocket", "GET", target, items)
        scope["extensions"] = {"websocket.http.response": {}} if can_deny else {}
        messages: list[Message] = [
            {"type": "websocket.connect"},
            {"type": "websocket.disconnect", "code": 1005},
        ]
        sent: list[Message] = []

        async def receive() -> Message:
            return messages.pop(0)

        async def send(message: Message) -> None:
            sent.append(message)

        await self._application(scope, receive, send)
        return sent

    async def denied(self, target: str, *, headers: Mapping[str, str] | HeaderItems = ()) -> Reply:
        """The HTTP answer in place of an upgrade."""
        return _reply(await self.connect(target, headers=headers), "websocket.http.response")

    def _scope(self, kind: str, method: str, target: str, headers: HeaderItems) -> MutableMapping[str, Any]:
        path, _, query = target.partition("?")
        scope: MutableMapping[str, Any] = {
            "type": kind,
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http" if kind == "http" else "ws",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [
                (b"host", b"service.example"),
                *((name.lower().encode(), value.encode("latin-1")) for name, value in headers),
            ],
            "client": None if self.peer is None else (self.peer, 40000),
            "server": ("service.example", 80),
            "extensions": {},
            "subprotocols": [],
        }
        self.scopes.append(scope)
        return scope


def _reply(sent: Sequence[Message], prefix: str) -> Reply:
    start, *bodies = sent
    assert start["type"] == f"{prefix}.start", sent
    assert all(message["type"] == f"{prefix}.body" for message in bodies), sent
    headers = tuple((name.decode(), value.decode("latin-1")) for name, value in start["headers"])
    assert all(name == name.lower() for name, _ in headers), "ASGI wants lower case"
    return Reply(start["status"], headers, b"".join(message.get("body", b"") for message in bodies))
