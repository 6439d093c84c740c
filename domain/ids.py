"""Ids: their form, and how ours are made."""

from __future__ import annotations

import re

RANDOMNESS_BYTES = 10
TIME_BITS = 48

_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32 in lower case, ascending in ASCII, so that texts sort as their numbers do."""

_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]


def base32(data: bytes) -> str:
    """Crockford base 32, the most significant digit first. `data` of one length has one length."""
    number = int.from_bytes(data, "big")
    length = (len(data) * 8 + 4) // 5
    # Two digits at a time, since nearly every request makes an id.
    even = length + length % 2
    digits = "".join([_PAIRS[number >> 5 * place & 1023] for place in range(even - 2, -1, -2)])
    return digits[even - length :]


def time_ordered_id(prefix: str, now_ms: int, randomness: bytes) -> str:
    """`<prefix>_` and 26 digits that sort by time: 48 bits of milliseconds, then 80 random ones.

    Time order keeps inserts at one end of an index. Raises `ValueError` for a time outside the 48 bits
    (the year 10889) or randomness of another size.
    """
    if not 0 <= now_ms < 1 << TIME_BITS:
        raise ValueError("time outside 48 bits")
    if len(randomness) != RANDOMNESS_BYTES:
        raise ValueError(f"an id takes {RANDOMNESS_BYTES} random bytes")
    return f"{prefix}_{base32(now_ms.to_bytes(TIME_BITS // 8, 'big') + randomness)}"


def time_ordered_form(prefix: str) -> str:
    """The regular expression of the ids that `time_ordered_id` makes with this prefix."""
    # 128 bits in digits of 5 bits: two bits of the first digit are always 0.
    return f"{re.escape(prefix)}_[0-7][{_DIGITS}]{{25}}"


def is_time_ordered_id(prefix: str, text: str) -> bool:
    """Whether `time_ordered_id` can have made a text with this prefix."""
    return re.fullmatch(time_ordered_form(prefix), text) is not None


def is_id(text: str) -> bool:
    """Whether a text has the form of an id: 1–64 of `A-Z a-z 0-9 _ . : -`."""
    return _ID.fullmatch(text) is not None
