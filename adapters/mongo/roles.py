"""The three database roles: what each may do to each collection, and no more.

`init-scripts/mongodb-init.js` gives them to the server. The user that reads and writes removes nothing: what
is over is removed by the server (TTL indexes) or under the administrator's role. The journal and the audit
log are append-only for it. No role changes the journal; the administrator's removes old audit events, and
changes audit events to encrypt their addresses anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from adapters.mongo import audit, idempotency
from adapters.mongo.catalog import CATALOG, VIEWS
from adapters.mongo.driver.names import RENAMED
from adapters.mongo.identity import api_keys, login_failures, users
from adapters.mongo.ledger import journal

Actions = tuple[str, ...]

READ_WRITE: Final = "credit_read_write"
READ_ONLY: Final = "credit_read_only"
ADMIN: Final = "credit_admin"

_CHANGE: Final[Actions] = ("find", "insert", "update")
_APPEND: Final[Actions] = ("find", "insert")
_LOOK: Final[Actions] = ("find", "collStats", "listIndexes")
_MAKE: Final[Actions] = (
    *("find", "listCollections", "listIndexes", "collStats"),
    *("createCollection", "createIndex", "collMod"),
)

APPEND_ONLY: Final = frozenset({journal.COLLECTION, audit.COLLECTION})
WITHHELD: Final = frozenset(
    {users.COLLECTION, api_keys.COLLECTION, login_failures.COLLECTION, idempotency.COLLECTION}
)
"""From analysts: password hashes, digests of keys, and answers to requests."""
_VIEWED: Final[dict[str, Actions]] = dict.fromkeys(RENAMED.values(), ("find",))
"""What a collection was called before is a view of it."""


@dataclass(frozen=True, slots=True)
class RoleDefinition:
    """A role as data."""

    name: str
    database: Actions
    """On the database, and on every collection of it but the server's own."""
    collections: Mapping[str, Actions]
    plugins: Actions
    """On each collection of a plugin's documents. A privilege has no pattern of names: the script
    lists them."""


def _names() -> Iterable[str]:
    return sorted({name for declared in CATALOG for name in declared})


ROLES: Final[tuple[RoleDefinition, ...]] = (
    RoleDefinition(
        READ_WRITE,
        database=(),
        collections={name: _APPEND if name in APPEND_ONLY else _CHANGE for name in _names()} | _VIEWED,
        plugins=_CHANGE,
    ),
    RoleDefinition(
        READ_ONLY,
        database=("listCollections",),
        collections={name: _LOOK for name in _names() if name not in WITHHELD}
        | {view.name: ("find",) for view in VIEWS}
        | _VIEWED,
        plugins=_LOOK,
    ),
    RoleDefinition(
        ADMIN,
        database=_MAKE,
        collections={name: ("insert", "update", "remove") for name in _names() if name not in APPEND_ONLY}
        | {audit.COLLECTION: ("insert", "update", "remove")},
        plugins=("insert", "update", "remove"),
    ),
)
