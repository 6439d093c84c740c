"""Read-only views for analysts: what the collections hold, in rows that a report can be made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from adapters.mongo.driver.interface import DEPENDENCY, MongoDriver
from adapters.mongo.ledger import journal
from ports.errors import DependencyUnavailable

NAMESPACE_EXISTS: Final = 48


@dataclass(frozen=True, slots=True)
class AnalystView:
    """A view as data: `pipeline` over the collection `source`, run each time the view is read."""

    name: str
    source: str
    pipeline: Sequence[Mapping[str, Any]]


class NotOurView(DependencyUnavailable):
    """A collection stands where a view of ours should."""


def _date(milliseconds: object) -> dict[str, Any]:
    """A number too small for 64 bits to be needed is not taken for a date as it is."""
    return {"$convert": {"input": {"$toLong": milliseconds}, "to": "date", "onError": None, "onNull": None}}


def _is_there(field: str) -> dict[str, Any]:
    return {"$gt": [field, None]}


CAUSES: Final = ("issue", "lapse", "capture", "reversal")

TRANSFERS: Final = AnalystView(
    "transfers",
    journal.COLLECTION,
    (
        {"$unwind": "$entries"},
        {"$match": {"entries.kind": "transfer"}},
        {
            "$project": {
                "_id": 0,
                "book": 1,
                "seq": 1,
                "recorded_at": _date("$time"),
                "effective_at": _date({"$ifNull": ["$entries.effective_ms", "$time"]}),
                "id": "$entries.id",
                "source": "$entries.source",
                "destination": "$entries.destination",
                "amount": "$entries.amount",
                "asset": "$entries.asset",
                "code": "$entries.code",
                "kind": {
                    "$switch": {
                        "branches": [
                            {"case": _is_there(f"$entries.{cause}"), "then": cause} for cause in CAUSES
                        ],
                        "default": "transfer",
                    }
                },
                "metadata": {"$ifNull": ["$entries.metadata", None]},
            }
        },
    ),
)
"""One row a movement of money. `metadata` is JSON text, null for none; amounts are minor units."""


async def create_views(driver: MongoDriver, views: Iterable[AnalystView]) -> None:
    """Creates missing views and changes those that are defined otherwise; the rest is left alone."""
    for view in views:
        standing = await _standing(driver, view.name)
        if standing is None and await _created(driver, view):
            continue
        standing = standing or await _standing(driver, view.name)
        if standing is None or standing["type"] != "view":
            raise NotOurView(
                DEPENDENCY, f"{view.name} is a collection: rename it, for it is where the view goes"
            )
        options = standing["options"]
        if (options["viewOn"], options["pipeline"]) != (view.source, list(view.pipeline)):
            await driver.command(
                {"collMod": view.name, "viewOn": view.source, "pipeline": list(view.pipeline)}
            )


async def _standing(driver: MongoDriver, name: str) -> Mapping[str, Any] | None:
    answer = await driver.command({"listCollections": 1, "filter": {"name": name}})
    found: Sequence[Mapping[str, Any]] = answer["cursor"]["firstBatch"]
    return found[0] if found else None


async def _created(driver: MongoDriver, view: AnalystView) -> bool:
    """False when another process was faster."""
    try:
        await driver.command({"create": view.name, "viewOn": view.source, "pipeline": list(view.pipeline)})
    except Exception as error:
        if getattr(error, "code", None) != NAMESPACE_EXISTS:
            raise
        return False
    return True
