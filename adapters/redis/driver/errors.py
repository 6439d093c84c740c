"""redis-py's exceptions, translated once: to a command's error reply, or to what is wrong with its server."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from adapters.redis.driver.connection_options import PORT
from adapters.redis.driver.interface import DEPENDENCY, WrongServer
from adapters.redis.driver.resp import ErrorReply
from ports.errors import ConnectionFault, DependencyUnavailable
from ports.runtime import DeadlineExceeded

_FAULTS: tuple[tuple[type[BaseException], ConnectionFault | str], ...] = (
    (socket.gaierror, ConnectionFault.NAME),
    (ConnectionRefusedError, ConnectionFault.REFUSED),
    (TimeoutError, ConnectionFault.SILENT),
    (DeadlineExceeded, ConnectionFault.SILENT),
    (RedisTimeoutError, ConnectionFault.SILENT),
    (BusyLoadingError, "is still reading its data"),
    (AuthenticationError, ConnectionFault.LOGIN),
    (ConnectionResetError, ConnectionFault.CLOSED),
    (BrokenPipeError, ConnectionFault.CLOSED),
    (EOFError, ConnectionFault.CLOSED),
)
_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})

_CODES: tuple[tuple[type[ResponseError], str], ...] = (
    (NoScriptError, "NOSCRIPT"),
    (OutOfMemoryError, "OOM"),
    (ReadOnlyError, "READONLY"),
    (MovedError, "MOVED"),
    (AskError, "ASK"),
    (MasterDownError, "MASTERDOWN"),
    # After it, whose base it is.
    (ClusterDownError, "CLUSTERDOWN"),
    (NoPermissionError, "NOPERM"),
)
_ABOUT_THE_SERVER = (AuthenticationError, BusyLoadingError)
"""What redis-py raises of a connection where the server refused one command."""


def refusal(error: ResponseError) -> ErrorReply:
    """redis-py strips an error's code where it has a class for it, and keeps it elsewhere."""
    text = str(error)
    for kind, code in _CODES:
        if isinstance(error, kind):
            return ErrorReply(code, text)
    word, _, detail = text.partition(" ")
    is_code = word.isascii() and word.isalpha() and word.isupper()
    return ErrorReply(word, detail) if is_code else ErrorReply("ERR", text)


@dataclass(frozen=True, slots=True)
class Peer:
    """The server at the other end, and the words for its faults."""

    address: str
    tls: bool

    def unavailable(self, error: Exception, *, opening: bool = False) -> DependencyUnavailable:
        """In words of ours: redis-py's own go no further than the cause. `opening` says that there was no
        connection yet: then the server may be one that speaks TLS, or that does not."""
        fault = self._fault(error)
        if opening:
            fault = self._at_first(fault)
        text = fault.value if isinstance(fault, ConnectionFault) else fault
        kind = WrongServer if isinstance(error, _ABOUT_THE_SERVER) else DependencyUnavailable
        return kind(DEPENDENCY, f"{self.address}: {text}")

    def _fault(self, error: Exception) -> ConnectionFault | str:
        # The innermost is what happened; redis-py's own say where they noticed.
        cause: BaseException = error
        while isinstance(cause, RedisError) and (inner := cause.__cause__ or cause.__context__) is not None:
            cause = inner
        for kind, fault in _FAULTS:
            if isinstance(cause, kind):
                return fault
        match cause:
            case ssl.SSLCertVerificationError():
                return _certificate_fault(cause)
            case ssl.SSLError():
                return ConnectionFault.HANDSHAKE
            case OSError() if cause.errno in _UNREACHABLE:
                return ConnectionFault.UNREACHABLE
            case RedisConnectionError() if "closed by server" in str(cause):
                return ConnectionFault.CLOSED
            case ResponseError():
                # The server's words to AUTH or SELECT; it repeats none of theirs.
                return str(cause)
            case _:
                return type(cause).__name__

    def _at_first(self, fault: ConnectionFault | str) -> ConnectionFault | str:
        if self.tls and fault is ConnectionFault.SILENT:
            return ConnectionFault.SILENT_TLS
        if not self.tls and fault is ConnectionFault.CLOSED:
            return ConnectionFault.CLOSED_PLAIN
        return fault


def peer_of(parsed: Mapping[str, Any]) -> Peer:
    """From the parsed URL."""
    host, port = str(parsed.get("host", "localhost")), int(parsed.get("port", PORT))
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return Peer(address, tls="SSL" in getattr(parsed.get("connection_class"), "__name__", ""))


def _certificate_fault(error: ssl.SSLCertVerificationError) -> ConnectionFault | str:
    reason = str(error.verify_message)
    if "mismatch" in reason:
        return ConnectionFault.OTHER_NAME
    if "has expired" in reason or "not yet valid" in reason:
        return ConnectionFault.EXPIRED
    return f"{ConnectionFault.UNTRUSTED.value} ({reason})"
