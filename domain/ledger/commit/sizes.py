"""How large the document of a batch may become: an upper bound for what each submission is recorded as."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from domain.ledger.account import LOTS_MAX
from domain.ledger.commands import Command, OpenAccount, PostTransfer, Submission
from domain.ledger.entries import Entry, HoldPlaced, TransferPosted

BATCH_COMMANDS_MAX: Final = 8_000
BATCH_BYTES_MAX: Final = 8 * 1024 * 1024
"""Of encoded entries; a document of MongoDB holds 16 MiB."""
COMMAND_WEIGHT_MIN: Final = BATCH_BYTES_MAX // BATCH_COMMANDS_MAX
"""What a command weighs at least, so that one bound on the weight of a batch holds both."""
ENTRY_BYTES: Final = 480
"""What an entry's fixed fields, two keys and bookkeeping encode to at most, its ids left aside."""
FUNDING_BYTES: Final = 4_096
"""What the grants that pay for one command, and what falls due before it, encode to in nearly all cases."""
PART_BYTES: Final = 96
"""What one grant's part in paying for an entry encodes to at most."""
OUTCOME_BYTES_MAX: Final = 14 * 1024 * 1024
"""Of a document's entries; MongoDB takes 16 MiB."""


def weight(submission: Submission) -> int:
    """An estimate from above of the encoded size, in bytes, of what the submission may be recorded as."""
    commands = submission.commands
    size = _command_bytes(commands[0]) if len(commands) == 1 else sum(map(_command_bytes, commands))
    return max(size, len(commands) * COMMAND_WEIGHT_MIN)


def _command_bytes(command: Command) -> int:
    if isinstance(command, PostTransfer):
        sides = len(command.source) + len(command.destination)
        size = ENTRY_BYTES + 3 * sides + len(command.id) + _bytes(command.metadata)
        for key in command.keys:
            size += len(key)
        return size
    keys = sum(map(len, command.keys))
    if isinstance(command, OpenAccount):
        account = command.account
        ids = 3 * len(account.id) + 2 * len(account.user_id or "")
        return ENTRY_BYTES + keys + ids + _bytes(account.metadata)
    return 2 * ENTRY_BYTES + keys + FUNDING_BYTES


def _bytes(metadata: str) -> int:
    return len(metadata.encode()) if metadata else 0


def is_too_large(entries: Sequence[Entry]) -> bool:
    """Whether a batch's outcome outgrew a document: what fell due in its accounts counts, too."""
    if len(entries) * (2 * ENTRY_BYTES + LOTS_MAX * PART_BYTES) <= OUTCOME_BYTES_MAX:
        return False  # However many grants paid for each.
    parts = sum(len(entry.funding) for entry in entries if isinstance(entry, TransferPosted | HoldPlaced))
    return len(entries) * 2 * ENTRY_BYTES + parts * PART_BYTES > OUTCOME_BYTES_MAX
