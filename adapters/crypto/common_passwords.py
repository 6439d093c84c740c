"""The passwords that are tried first, from a list that ships with the product."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from ports.identity.passwords import CommonPasswords

LIST = Path(__file__).with_name("common_passwords.txt")


@cache
def read_common_passwords(path: Path = LIST) -> CommonPasswords:
    """Once, when the service is put together: some 11,600 words, 2 ms and 1 MB. Lines that begin with `#`
    tell of the list."""
    lines = path.read_text(encoding="ascii").splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))
