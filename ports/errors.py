"""What an outside can do wrong, in words every adapter translates its driver's exceptions into."""

from __future__ import annotations

from enum import Enum


class DependencyUnavailable(Exception):
    """A dependency refused, timed out or is away. What was asked may or may not have happened.

    `reason` is for operators: it may name a host and its fault, and never a secret. Callers are not shown it.
    """

    def __init__(self, dependency: str, reason: str = "") -> None:
        super().__init__(f"{dependency}: {reason}" if reason else dependency)
        self.dependency = dependency
        self.reason = reason


class OutcomeUnknown(DependencyUnavailable):
    """A write that was neither acknowledged nor refused: it may have happened, or happen yet.

    Whoever asked must look (or write the same again, idempotently) before deciding anything on it.
    """


class ConnectionFault(Enum):
    """What is wrong with a connection, in one voice for every dependency. The adapter adds the host."""

    NAME = "the host name does not resolve"
    REFUSED = "connection refused"
    UNREACHABLE = "there is no way to this host"
    SILENT = "no answer in time"
    SILENT_TLS = "no answer to a TLS connection in time; a server without TLS gives none"
    CLOSED = "closed the connection without an answer"
    CLOSED_PLAIN = "closed the connection without an answer; it may want TLS, which the URL does not ask for"
    HANDSHAKE = "the TLS handshake failed; the server may have no TLS, which the URL asks for"
    UNTRUSTED = "its TLS certificate is not trusted"
    OTHER_NAME = "its TLS certificate is for another name"
    EXPIRED = "its TLS certificate is out of date"
    LOGIN = "the login failed: there is no such user, or the password is another one"
