"""Whether the server at the other end is still the one that the address leads to.

After a fail-over an address may lead to another server while connections to the old one live on. The old one
tells by its replies, and only a new connection finds the new one.
"""

from __future__ import annotations

import logging
from typing import Final

from ports.runtime import Runtime

RENEWAL_S_MIN: Final = 1.0
"""Between two times that all connections are given up: the address may go on to lead to a wrong server, and
a connection for each command would be a storm."""

_WRONG_SERVER: Final = frozenset(
    {
        "READONLY",  # a replica now, and not the master that it was
        "MASTERDOWN",  # a replica that has lost its master
        "NOREPLICAS",  # a master that its replicas have left: so is one that was replaced
        "UNBLOCKED",  # it became a replica just now
        "LOADING",
        "NOAUTH",
        "WRONGPASS",
    }
)

_REDIRECTIONS: Final = frozenset({"MOVED", "ASK"})

_log = logging.getLogger(__name__)


def says_wrong_server(code: str, *, in_cluster: bool) -> bool:
    """Whether a refusal of this code is about the server, and not about the command. In a cluster a
    redirection is an answer."""
    return code in _WRONG_SERVER or (code in _REDIRECTIONS and not in_cluster)


class Generation:
    """Of the connections to one address, shared by all of its drivers: a wrong server that one of them meets
    ends it for all."""

    def __init__(self, runtime: Runtime) -> None:
        self._monotonic = runtime.monotonic
        self._ended_s: float | None = None
        self.number = 0
        """Connections opened under an earlier number are not used any more."""

    def end(self, reason: str) -> None:
        """A new one begins, unless the last began within `RENEWAL_S_MIN`. `reason` is logged."""
        now_s = self._monotonic()
        if self._ended_s is None or now_s - self._ended_s >= RENEWAL_S_MIN:
            self._ended_s = now_s
            self.number += 1
            _log.warning("redis is connected anew, for what answers is not the server wanted: %s", reason)
