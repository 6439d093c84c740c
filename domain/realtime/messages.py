"""The service's pushes: each encoded once, for any number of connections."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, Protocol


class Push(Protocol):
    """One frame for one or many clients."""

    def encode(self) -> bytes:
        """UTF-8 JSON, one object."""


@dataclass(frozen=True, slots=True)
class BalancePush:
    """An account's balance after the journal document `seq`. Amounts are integers in minor units."""

    account: str
    posted: int
    held: int
    available: int
    seq: int

    def encode(self) -> bytes:
        """The frame as JSON text, in the `asyncapi.json` document's shape."""
        return _encode(
            {
                "type": "balance",
                "account": self.account,
                "posted": self.posted,
                "held": self.held,
                "available": self.available,
                "seq": self.seq,
            }
        )


_BALANCE: Final = b'{"type":"balance",'


def balance_place(message: bytes) -> tuple[str, int] | None:
    """Which account an encoded push tells the balance of, and after which document; None for any other."""
    if not message.startswith(_BALANCE):
        return None
    try:
        told = json.loads(message)
        return str(told["account"]), int(told["seq"])
    except (ValueError, KeyError, TypeError):
        return None  # said by a worker of another release


@dataclass(frozen=True, slots=True)
class LowBalancePush:
    """The journal document `seq` left less available than the account's `threshold`; the one before had
    not. Amounts are integers in minor units."""

    account: str
    available: int
    threshold: int
    seq: int

    def encode(self) -> bytes:
        """The frame as JSON text, in the `asyncapi.json` document's shape."""
        return _encode(
            {
                "type": "low_balance",
                "account": self.account,
                "available": self.available,
                "threshold": self.threshold,
                "seq": self.seq,
            }
        )


@dataclass(frozen=True, slots=True)
class DirectPush:
    """Something said to one user. `sender` is a user's id, or None when a service said it.

    `data` is any JSON value; NaN, infinities and lone surrogates are not JSON: `encode` raises ValueError.
    """

    event: str
    data: object
    sender: str | None = None

    def encode(self) -> bytes:
        """The frame as JSON text, in the `asyncapi.json` document's shape."""
        return _encode({"type": "direct", "event": self.event, "data": self.data, "from": self.sender})


def _encode(value: dict[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
