"""Failures of dependencies, into which every adapter translates the exceptions of its driver."""

from __future__ import annotations

from enum import Enum


class DependencyUnavailable(Exception):
    """A dependency refused, timed out or is unreachable. The operation may or may not have happened.

    `reason` is for operators: it may name a host and its fault, never a secret. Clients do not see it.
    """

    def __init__(self, dependency: str, reason: str = "") -> None:
        super().__init__(f"{dependency}: {reason}" if reason else dependency)
        self.dependency = dependency
        self.reason = reason


class OutcomeUnknown(DependencyUnavailable):
    """A write was neither acknowledged nor refused: it may have happened, or may still happen.

    Its caller has to read the result, or to repeat the write idempotently, before it decides anything on it.
    """


class ConnectionFault(Enum):
    """Faults of a connection, worded alike for every dependency. The adapter adds the host."""

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
