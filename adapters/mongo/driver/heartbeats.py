"""What PyMongo learns of each server while it looks for one to use.

Its own errors come when the search is over. By then it has dropped the servers of another replica set, and
the exceptions behind its texts; so the causes are taken from its heartbeats, and told by their texts.
"""

from __future__ import annotations

import re
from typing import Any

from pymongo.errors import WaitQueueTimeoutError
from pymongo.hello import Hello
from pymongo.monitoring import (
    ServerHeartbeatFailedEvent,
    ServerHeartbeatListener,
    ServerHeartbeatStartedEvent,
    ServerHeartbeatSucceededEvent,
)
from pymongo.uri_parser import parse_uri

from ports.errors import ConnectionFault

PORT = 27017
SERVERS_MAX = 50
"""A replica set has no more members."""
SERVERS_NAMED_MAX = 5

Server = tuple[str, int | None]

# In this order: the text of a certificate's fault holds that of a failed handshake. Errno's words are the C
# library's, which asyncio replaces where a connection is refused.
_FAULTS: tuple[tuple[re.Pattern[str], ConnectionFault], ...] = (
    (re.compile(r"certificate verify failed: (?:Hostname|IP address) mismatch"), ConnectionFault.OTHER_NAME),
    (re.compile(r"certificate verify failed: certificate (?:has expired|is not yet valid)"),
     ConnectionFault.EXPIRED),
    (re.compile(r"certificate verify failed"), ConnectionFault.UNTRUSTED),
    (re.compile(r"Name or service not known|name resolution|nodename nor servname|No address associated"
                r"|DNS (?:query name does not exist|response does not contain an answer)"),
     ConnectionFault.NAME),
    (re.compile(r"\[Errno (?:111|61)\]|Connection refused"), ConnectionFault.REFUSED),
    (re.compile(r"No route to host|Network is unreachable|Host is down"), ConnectionFault.UNREACHABLE),
    (re.compile(r"handshake operation timed out"), ConnectionFault.SILENT_TLS),
    (re.compile(r"SSL handshake failed|WRONG_VERSION_NUMBER"), ConnectionFault.HANDSHAKE),
    (re.compile(r"timed out"), ConnectionFault.SILENT),
    (re.compile(r"connection (?:is already )?closed|Connection (?:reset by peer|lost)|Broken pipe"
                r"|EOF occurred|\[Errno (?:104|54|32)\]"), ConnectionFault.CLOSED),
)  # fmt: skip
_VERIFIED = re.compile(r"certificate verify failed: ([^(]{1,200})")


class Heartbeats(ServerHeartbeatListener):
    """Listens to one client. PyMongo calls from its own threads and tasks; each call sets one entry.

    `role` is what the client's user may do, as operators know it.
    """

    def __init__(self, url: str, *, role: str = "") -> None:
        self._role = role
        self._seeds: tuple[Server, ...] = ()
        self._set_name: str | None = None
        if url.startswith("mongodb+srv://"):
            # A name server is asked for them, and only when the client connects.
            self._tls = "tls=false" not in url.lower() and "ssl=false" not in url.lower()
            self._srv = url.removeprefix("mongodb+srv://").partition("/")[0].partition("?")[0]
        else:
            parsed = parse_uri(url, PORT, warn=True)
            self._seeds = tuple(parsed["nodelist"])
            self._tls = bool(parsed["options"].get("tls"))
            self._set_name = parsed["options"].get("replicaSet")
            self._srv = ""
        self._was_heard = False
        self._seen: dict[Server, Hello[dict[str, Any]] | Exception] = {}

    def started(self, event: ServerHeartbeatStartedEvent) -> None:
        """Says nothing yet."""

    def succeeded(self, event: ServerHeartbeatSucceededEvent) -> None:
        self._was_heard = True
        self._note(event.connection_id, event.reply)

    def failed(self, event: ServerHeartbeatFailedEvent) -> None:
        self._note(event.connection_id, event.reply)

    def no_server(self) -> str:
        """Why none of the servers could be used."""
        # As they are now: PyMongo's tasks go on noting.
        seen = dict(self._seen)
        servers = tuple(dict.fromkeys((*self._seeds, *seen)))
        causes = [
            f"{_address(server)}: {self._cause(seen.get(server))}" for server in servers[:SERVERS_NAMED_MAX]
        ]
        is_without_primary = any(
            isinstance(said, Hello) and self._is_of_the_set(said) and not said.is_writable
            for said in seen.values()
        )
        head = ["no primary is elected"] if is_without_primary else []
        return self._as_role("; ".join([*head, *causes]) or f"{self._srv}: {ConnectionFault.SILENT.value}")

    def fault(self, error: Exception) -> str:
        """What broke a connection that was in use, or kept one from being opened."""
        if isinstance(error, WaitQueueTimeoutError):
            return self.said("no connection became free in time; all are in use or being opened")
        text = str(error)
        named = re.match(r"(?:SSL handshake failed: )?(\S+:\d+): ", text)
        found = self._failed(text)
        if found is None:
            # Such as a pool that is paused: why, the heartbeats know.
            said = next(
                (each for server, each in self._seen.items() if named and _address(server) == named[1]), None
            )
            found = self._failed(str(said)) if isinstance(said, Exception) else None
        return self._as_role(f"{named[1] if named else self.hosts()}: {found or type(error).__name__}")

    def login_failed(self) -> str:
        return self._as_role(f"{self.hosts()}: {ConnectionFault.LOGIN.value}")

    def not_permitted(self, text: str) -> str:
        """`not authorized on DATABASE to execute command { NAME: …`: no more than the two is repeated."""
        found = re.search(r"not authorized on ([\w-]{1,64}) to execute command \{ (\w{1,64}):", text)
        what = f" to {found[2]} in the database {found[1]}" if found else ""
        return self._as_role(f"{self.hosts()}: the user is not permitted{what}")

    def said(self, what: str) -> str:
        """Something else that is wrong, with the hosts it concerns."""
        return self._as_role(f"{self.hosts()}: {what}")

    def hosts(self) -> str:
        """Those of the URL."""
        return ",".join(map(_address, self._seeds[:SERVERS_NAMED_MAX])) or self._srv

    def _as_role(self, text: str) -> str:
        return f"{text} (as {self._role})" if self._role else text

    def _note(self, server: Server, said: Hello[dict[str, Any]] | Exception) -> None:
        if server in self._seen or len(self._seen) < SERVERS_MAX:
            self._seen[server] = said

    def _is_of_the_set(self, said: Hello[dict[str, Any]]) -> bool:
        name: str | None = said.replica_set_name
        return name is not None and self._set_name in (None, name)

    def _cause(self, said: Hello[dict[str, Any]] | Exception | None) -> str:
        if said is None:
            return ConnectionFault.SILENT_TLS.value if self._tls else ConnectionFault.SILENT.value
        if isinstance(said, Exception):
            return self._failed(str(said)) or type(said).__name__
        if said.replica_set_name is None and self._set_name is not None:
            return f"is of no replica set, and the URL says replicaSet={self._set_name}"
        if not self._is_of_the_set(said):
            return f"is of the replica set {said.replica_set_name}, and the URL says {self._set_name}"
        return "answered too late" if said.is_writable else "is no primary"

    def _failed(self, text: str) -> str | None:
        found = fault_in(text)
        if found == ConnectionFault.CLOSED.value and not self._tls and not self._was_heard:
            return ConnectionFault.CLOSED_PLAIN.value
        return found


def fault_in(text: str) -> str | None:
    """The fault that a text of PyMongo's tells of; None where it tells of none that is known."""
    fault = next((fault for pattern, fault in _FAULTS if pattern.search(text)), None)
    if fault is ConnectionFault.UNTRUSTED and (reason := _VERIFIED.search(text)):
        return f"{fault.value} ({reason[1].strip()})"
    return None if fault is None else fault.value


def _address(server: Server) -> str:
    host, port = server
    if port is None:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
