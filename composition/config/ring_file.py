"""The format of a ring of keys in a secret file: the bare secret, which is a ring of one, or a line of JSON.

{"keys":[{"secret":"…","writes_from_ms":0},{"secret":"…","writes_from_ms":1800000000000}]}
"""

from __future__ import annotations

import json

from domain.encryption.keyring import Ring, RingKey, ring_problem

_MEMBERS = {"secret", "writes_from_ms"}


def parse_ring(text: str) -> Ring:
    """The ring that a text holds. Raises `ValueError`, whose message quotes nothing of the text."""
    if not text.startswith("{"):
        return (RingKey(text),)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("begins like a ring of keys, and is not JSON") from None
    entries = document.get("keys") if document.keys() == {"keys"} else None
    if not isinstance(entries, list) or not all(map(_is_entry, entries)):
        raise ValueError('is not a ring of keys: {"keys":[{"secret":"…","writes_from_ms":0}, …]}')
    ring = tuple(RingKey(entry["secret"], entry["writes_from_ms"]) for entry in entries)
    problem = ring_problem(ring)
    if problem is not None:
        raise ValueError(problem)
    return ring


def ring_text(ring: Ring) -> str:
    """A ring as a line of JSON, the inverse of `parse_ring`."""
    keys = [{"secret": key.secret, "writes_from_ms": key.writes_from_ms} for key in ring]
    return json.dumps({"keys": keys}, separators=(",", ":"))


def _is_entry(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and entry.keys() == _MEMBERS
        and isinstance(entry["secret"], str)
        and entry["secret"].isprintable()
        and type(entry["writes_from_ms"]) is int
    )
