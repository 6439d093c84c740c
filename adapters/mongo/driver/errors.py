"""PyMongo's exceptions, translated once. Motor raises the same ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import Any

from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
)

from adapters.mongo.driver.heartbeats import Heartbeats, fault_in
from adapters.mongo.driver.interface import DEPENDENCY
from ports.errors import ConnectionFault, DependencyUnavailable, OutcomeUnknown
from ports.runtime import DeadlineExceeded

UNAUTHORIZED = 13
AUTHENTICATION_FAILED = 18
DUPLICATE_KEY = 11000

INTERRUPTED = frozenset({6, 7, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436})
"""Codes of the retryable-writes specification: the server stepped down, shuts down or lost its peers."""

NOT_READY = frozenset({134, 211})
"""A node that has just started again: it has no majority's state to read yet, or no keys to check the cluster
time with that clients send. Drivers leave both to their callers."""


IN_DOUBT = ("RetryableWriteError", "UnknownTransactionCommitResult")
"""Labels of the driver specifications for a write whose fate the server did not tell."""


class DuplicateKey(Exception):
    """A unique index refused the write: it did not happen."""

    def __init__(
        self, index: str, key_pattern: Mapping[str, Any], key_value: Mapping[str, Any], position: int = 0
    ) -> None:
        super().__init__(index or "duplicate key")
        self.index = index
        self.key_pattern = key_pattern
        self.key_value = key_value
        self.position = position
        """Which document or update of a bulk was the first to be refused."""


class NotPermitted(DependencyUnavailable):
    """This user's role does not allow the call, or there is no such login. Nothing happened."""


class Effect(Enum):
    """How far a call may have come by the time it fails."""

    READ = "read"
    WRITE = "write"
    TENTATIVE = "tentative"
    """A write in a transaction: undone by the abort, so its outcome is never in doubt."""


@contextmanager
def translated(effect: Effect, heartbeats: Heartbeats) -> Iterator[None]:
    """Raises, in the adapter's words, what the driver raises in the block; `heartbeats` knows the causes.

    Errors of the caller (a document that BSON cannot hold, a malformed query) pass through.
    """
    try:
        yield
    except DuplicateKeyError as error:
        raise _duplicate(error.details or {}, 0) from error
    except BulkWriteError as error:
        raise _of_bulk(error, effect, heartbeats) from error
    except (ServerSelectionTimeoutError, ConfigurationError) as error:
        # Never sent: on a retry PyMongo raises the error of the first attempt instead.
        raise DependencyUnavailable(DEPENDENCY, _unusable(error, heartbeats)) from error
    except (ConnectionFailure, ExecutionTimeout, WriteConcernError, DeadlineExceeded) as error:
        raise _unavailable(error, effect, heartbeats) from error
    except OperationFailure as error:
        raise _of_refusal(error, effect, heartbeats) from error


def _unusable(error: PyMongoError, heartbeats: Heartbeats) -> str:
    if isinstance(error, ServerSelectionTimeoutError):
        return heartbeats.no_server()
    # No name of a `mongodb+srv` address, or a server of another kind or age than the driver takes.
    return heartbeats.fault(error) if fault_in(str(error)) else heartbeats.said(str(error))


def is_transient(error: BaseException) -> bool:
    """The whole transaction may be tried again: it did not happen."""
    cause = error.__cause__ if isinstance(error, DependencyUnavailable) else error
    return isinstance(cause, PyMongoError) and cause.has_error_label("TransientTransactionError")


def _unavailable(error: Exception, effect: Effect, heartbeats: Heartbeats) -> DependencyUnavailable:
    kind = OutcomeUnknown if effect is Effect.WRITE else DependencyUnavailable
    if isinstance(error, DeadlineExceeded):
        return kind(DEPENDENCY, heartbeats.said(ConnectionFault.SILENT.value))
    # Never the driver's whole message, which may name users and documents.
    return kind(DEPENDENCY, heartbeats.fault(error))


def _of_refusal(error: OperationFailure, effect: Effect, heartbeats: Heartbeats) -> Exception:
    if error.code in INTERRUPTED | NOT_READY or any(error.has_error_label(label) for label in IN_DOUBT):
        return _unavailable(error, effect, heartbeats)
    if error.code == AUTHENTICATION_FAILED:
        return NotPermitted(DEPENDENCY, heartbeats.login_failed())
    if error.code == UNAUTHORIZED:
        return NotPermitted(DEPENDENCY, heartbeats.not_permitted(str(error)))
    if error.has_error_label("TransientTransactionError"):
        return DependencyUnavailable(DEPENDENCY, "write conflict")
    return error


def _of_bulk(error: BulkWriteError, effect: Effect, heartbeats: Heartbeats) -> Exception:
    """Uncertainty outweighs a refusal: part of the bulk may have happened and may yet be undone."""
    if error.details.get("writeConcernErrors"):
        return _unavailable(error, effect, heartbeats)
    refusals = error.details.get("writeErrors") or ()
    if refusals and all(refusal.get("code") == DUPLICATE_KEY for refusal in refusals):
        return _duplicate(refusals[0], int(refusals[0].get("index", 0)))
    if any(refusal.get("code") in INTERRUPTED | NOT_READY for refusal in refusals):
        return _unavailable(error, effect, heartbeats)
    return error


def _duplicate(details: Mapping[str, Any], position: int) -> DuplicateKey:
    pattern = details.get("keyPattern") or {}
    return DuplicateKey(
        _index_name(str(details.get("errmsg", ""))), pattern, details.get("keyValue") or {}, position
    )


def _index_name(message: str) -> str:
    """The server tells the index only in its message: `E11000 … index: NAME dup key: …`."""
    _, _, tail = message.partition(" index: ")
    return tail.partition(" ")[0]
