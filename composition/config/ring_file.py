"""The format of a ring of keys in a secret file: the bare secret, which is a ring of one, or a line of JSON.

{"keys":[{"secret":"…","writes_from_ms":0},{"secret":"…","writes_from_ms":1800000000000}]}

The ring of fields may hold passphrases, each with its salt, and names what no rotation changes. Without
`index_root` this is the first key.

{"index_root":"…","keys":[{"secret":"…","writes_from_ms":0},{"passphrase":"…","salt":"…","writes_from_ms":1}]}
"""

from __future__ import annotations

import json
from typing import Any

from domain.encryption.keyring import EncryptionRing, Ring, RingKey, ring_problem

_RANDOM = {"secret", "writes_from_ms"}
_PASSPHRASE = {"passphrase", "salt", "writes_from_ms"}
SALT_CHARACTERS_MIN = 16
SALT_CHARACTERS_MAX = 64


def parse_ring(text: str) -> Ring:
    """The ring that a text holds. Raises `ValueError`, whose message quotes nothing of the text."""
    if not text.startswith("{"):
        return (RingKey(text),)
    return _keys(_document(text, {"keys"}), passphrases=False)


def parse_encryption_ring(text: str) -> EncryptionRing:
    """The ring of fields that a text holds. Raises `ValueError`, whose message quotes nothing of the text."""
    if not text.startswith("{"):
        return EncryptionRing(text, (RingKey(text),))
    document = _document(text, {"keys", "index_root"})
    keys = _keys(document, passphrases=True)
    index_root = document.get("index_root")
    if "index_root" not in document:
        if keys[0].salt is not None:
            raise ValueError("a ring whose first key is a passphrase names its index_root, which is random")
        index_root = keys[0].secret
    if not isinstance(index_root, str) or not index_root.isprintable():
        raise ValueError("the index_root of a ring is printable text")
    return EncryptionRing(index_root, keys)


def ring_text(ring: Ring) -> str:
    """A ring as a line of JSON, the inverse of `parse_ring`."""
    return _line({"keys": [_written(key) for key in ring]})


def encryption_ring_text(ring: EncryptionRing) -> str:
    """A ring of fields as a line of JSON, the inverse of `parse_encryption_ring`."""
    return _line({"index_root": ring.index_root, "keys": [_written(key) for key in ring.keys]})


def _line(document: object) -> str:
    return json.dumps(document, separators=(",", ":"))


def _document(text: str, members: set[str]) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("begins like a ring of keys, and is not JSON") from None
    if not {"keys"} <= document.keys() <= members:
        raise ValueError('is not a ring of keys: {"keys":[{"secret":"…","writes_from_ms":0}, …]}')
    return document


def _keys(document: dict[str, Any], *, passphrases: bool) -> Ring:
    entries = document["keys"]
    if not isinstance(entries, list) or not all(_is_entry(entry, passphrases) for entry in entries):
        raise ValueError('is not a ring of keys: {"keys":[{"secret":"…","writes_from_ms":0}, …]}')
    ring = tuple(map(_read, entries))
    problem = ring_problem(ring)
    if problem is not None:
        raise ValueError(problem)
    return ring


def _read(entry: dict[str, Any]) -> RingKey:
    if "passphrase" in entry:
        return RingKey(entry["passphrase"], entry["writes_from_ms"], entry["salt"])
    return RingKey(entry["secret"], entry["writes_from_ms"])


def _written(key: RingKey) -> dict[str, object]:
    if key.salt is None:
        return {"secret": key.secret, "writes_from_ms": key.writes_from_ms}
    return {"passphrase": key.secret, "salt": key.salt, "writes_from_ms": key.writes_from_ms}


def _is_entry(entry: object, passphrases: bool) -> bool:
    if not isinstance(entry, dict) or type(entry.get("writes_from_ms")) is not int:
        return False
    if entry.keys() == _RANDOM:
        return _is_text(entry["secret"])
    if not passphrases or entry.keys() != _PASSPHRASE or not _is_text(entry["salt"]):
        return False
    return _is_text(entry["passphrase"]) and SALT_CHARACTERS_MIN <= len(entry["salt"]) <= SALT_CHARACTERS_MAX


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.isprintable()
