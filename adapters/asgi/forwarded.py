"""The chain of hops that proxies write down: `X-Forwarded-For` and `Forwarded` (RFC 7239).

Read from the right, one comma-separated entry at a time: what stands left of an entry was written before
it, by somebody further out, and can change nothing about how the entry is read. So commas and
semicolons inside of quotes are not supported; an address and a port need neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

HOPS_MAX = 16

_PAIR = re.compile(r'([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=(?:"([^"\\,;]*)"|([!#$%&\'*+.^_`|~0-9A-Za-z-]+))')
_WITH_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+(?:%[0-9A-Za-z._~-]+)?)\]|([0-9.]+))(?::[0-9]{1,5})?")


def hops_of_forwarded_for(values: Sequence[bytes]) -> Iterator[str]:
    """What `X-Forwarded-For` names, nearest first, without ports."""
    for entry in _entries(values):
        with_port = _WITH_PORT.fullmatch(entry)
        yield entry if with_port is None else with_port[1] or with_port[2]


def hops_of_forwarded(values: Sequence[bytes]) -> Iterator[str | None]:
    """The same of `Forwarded`: the node of each `for`. None for an element that is malformed or names no
    address: `unknown` and obfuscated nodes (RFC 7239, 6.2 and 6.3)."""
    for entry in _entries(values):
        yield _node(entry)


def _entries(values: Sequence[bytes]) -> Iterator[str]:
    """Nearest first. What is left after `HOPS_MAX` of them comes as one, which no address is."""
    for entry in reversed(b",".join(values).decode("latin-1").rsplit(",", HOPS_MAX)):
        yield entry.strip(" \t")


def _node(entry: str) -> str | None:
    """Who is named by one element; None unless all of it is well formed and it names one."""
    nodes = []
    for pair in entry.split(";"):
        match = _PAIR.fullmatch(pair.strip(" \t"))
        if match is None:
            return None
        if match[1].lower() == "for":
            nodes.append(match[3] if match[2] is None else match[2])
    if len(nodes) != 1:
        return None
    address = _WITH_PORT.fullmatch(nodes[0])
    return None if address is None else address[1] or address[2]
