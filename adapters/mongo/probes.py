"""Whether MongoDB does the work of each role, and not only whether it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from adapters.mongo.driver.interface import DEPENDENCY, Index, MongoDriver
from adapters.mongo.indexes import Indexes
from adapters.mongo.validators import DATE, TEXT, Validators, documents_of
from ports.errors import DependencyUnavailable
from ports.health import Probe

COLLECTION: Final = "probes"
TIMEOUT_MS_MAX: Final = 1_000
_PURGE: Final = Index("purge", (("at", 1),), expire_after_seconds=86_400)

INDEXES: Final[Indexes] = {COLLECTION: (_PURGE,)}

VALIDATORS: Final[Validators] = {COLLECTION: documents_of({"_id": TEXT, "at": DATE})}

READ_WRITE: Final = "read_write"
READ_ONLY: Final = "read_only"
ADMIN: Final = "admin"


class MongoProbe:
    """The role's own work on a document of its own, within a second: `read_write` and `admin` write what a
    majority must have in its journals, `admin` also asks for an index, `read_only` reads what a majority has.

    A primary that answers, and that its majority has left, is down for those who write.
    """

    def __init__(self, *, driver: MongoDriver, role: str) -> None:
        self._driver = driver
        self._role = role

    @property
    def name(self) -> str:
        return DEPENDENCY

    @property
    def role(self) -> str:
        return self._role

    async def check(self) -> None:
        if self._role == READ_ONLY:
            await self._run({"find": COLLECTION, "limit": 1, "readConcern": {"level": "majority"}})
            return
        if self._role == ADMIN:
            index = {
                "name": _PURGE.name,
                "key": dict(_PURGE.keys),
                "expireAfterSeconds": _PURGE.expire_after_seconds,
            }
            await self._run({"createIndexes": COLLECTION, "indexes": [index]})
        # Always a change: an update that changes nothing does not wait for a majority.
        change = {"q": {"_id": self._role}, "u": {"$currentDate": {"at": True}}, "upsert": True}
        concern = {"w": "majority", "j": True, "wtimeout": TIMEOUT_MS_MAX}
        await self._run({"update": COLLECTION, "updates": [change], "writeConcern": concern})

    async def _run(self, command: Mapping[str, Any]) -> None:
        answer = await self._driver.command(command, timeout_ms_max=TIMEOUT_MS_MAX)
        # A write that was refused, or that no majority acknowledged, is no error of the command.
        for refusal in (*answer.get("writeErrors", ()), answer.get("writeConcernError")):
            if refusal is not None:
                raise DependencyUnavailable(DEPENDENCY, f"refused a write: code {refusal.get('code')}")


def _fits(probe: MongoProbe) -> Probe:
    return probe
