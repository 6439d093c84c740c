"""What happened to users and to credits, a line each, where they are wanted: `game_play.log`.

At DEBUG, so that a line costs nothing where they are not: the audit log and the journal hold the facts.
"""

from __future__ import annotations

import logging
from collections import Counter
from itertools import islice

from credit_system import CommittedBatch, RequestContext, TransferPosted

TRANSFERS_TOLD_MAX = 16
"""Of one batch; the journal has them all, under its `seq`."""

_log = logging.getLogger(__name__)


def note(happened: str, context: RequestContext, **facts: str | None) -> None:
    """One line about a user; `facts` are ids, never a name or a secret."""
    if _log.isEnabledFor(logging.DEBUG):
        _log.debug(happened, extra={"request_id": context.request_id, "actor": context.actor, **facts})


def note_committed(payload: object) -> None:
    """Hook `ledger.committed`: one line a batch, so that a busy ledger does not write one a transfer."""
    if not _log.isEnabledFor(logging.DEBUG) or not isinstance(payload, CommittedBatch):
        return
    document = payload.document
    transfers = (entry for entry in document.entries if isinstance(entry, TransferPosted))
    told = (
        f"{entry.id} {entry.code} {entry.amount} {entry.asset} {entry.source} > {entry.destination}"
        for entry in islice(transfers, TRANSFERS_TOLD_MAX)
    )
    # By the entries' own names, so that a kind which the journal learns later is told of as well.
    counts = Counter(type(entry).__name__ for entry in document.entries)
    _log.debug(
        "ledger committed",
        extra={
            "book": document.book,
            "seq": document.seq,
            "entries": "; ".join(f"{kind} {count}" for kind, count in sorted(counts.items())),
            "transfers": "; ".join(told),
        },
    )
