"""What both HTTP peers are told: where Redis is, with which secret tokens are signed, how much is allowed."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

AUDIENCE: Final = "accounts"
LIMITS: Final = "1000000/minute"
STRATEGY: Final = "sliding-window-counter"


def told() -> Mapping[str, str]:
    """Credentials come in a file that only its owner reads: they stand in no process list."""
    read: Mapping[str, str] = json.loads(Path(os.environ["PEER_TOLD"]).read_text())
    return read


def balance(fields: Mapping[str, str]) -> dict[str, Any]:
    """What is answered for one account's hash."""
    amounts = {name: int(fields[name]) for name in ("posted", "held", "available", "overdraft_limit", "seq")}
    return {**fields, **amounts, "grants": [], "metadata": {}}


def collect_rarely() -> None:
    """As the service does (`composition.hosting.process`)."""
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
