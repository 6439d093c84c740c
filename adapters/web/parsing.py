"""From bytes to validated values, once.

msgspec checks types, ranges, unknown fields and UTF-8. What it lets pass, and RFC 8259 leaves open, is
checked here: a name that stands twice in one object, where two readers could understand two things.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from adapters.asgi.problems import Problem

QUERY_FIELDS_MAX = 32
DETAIL_LENGTH_MAX = 300

_PLACE = re.compile(r" - at `\$\.?([^`]*)`\Z")
_NAMED = re.compile(r"(?:unknown|required) field `([^`]*)`\Z")
_INTEGER = re.compile(r"(?:0|-?[1-9][0-9]{0,18})\Z")
_IDEMPOTENCY_KEY = re.compile(rb"[\x21-\x7e]{1,255}\Z")

MALFORMED = Problem(400, "malformed_json", "The body is not JSON in UTF-8.")
UNSUPPORTED = Problem(415, "unsupported_media_type", "The body must be application/json.")
TWICE = Problem(400, "validation_failed", "A name stands twice in one object of the body.")
BAD_IDEMPOTENCY_KEY = Problem(
    400,
    "validation_failed",
    "Idempotency-Key must be one value of 1 to 255 visible ASCII characters.",
    extensions={"field": "Idempotency-Key"},
)


class _NameTwiceError(ValueError):
    """An object of the body names a member twice."""


def _refuse_twice(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) > 1 and len({name for name, _ in pairs}) != len(pairs):
        raise _NameTwiceError


# Numbers are not converted: only names are looked at, and a long integer would cost quadratic time.
_names = json.JSONDecoder(object_pairs_hook=_refuse_twice, parse_int=len, parse_float=len)


def invalid(message: str) -> Problem:
    """`validation_failed`, with the field that msgspec's message names."""
    detail = message[:DETAIL_LENGTH_MAX]
    place = _PLACE.search(message) or _NAMED.search(message)
    if place is None or not place[1]:
        return Problem(400, "validation_failed", detail)
    return Problem(400, "validation_failed", detail, extensions={"field": place[1][:DETAIL_LENGTH_MAX]})


def is_json(content_type: bytes) -> bool:
    """`application/json` or `application/…+json`, in UTF-8 when a charset is named."""
    media_type, _, parameters = content_type.decode("latin-1").lower().partition(";")
    media_type = media_type.strip()
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        return False
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in ("utf-8", "utf8", "us-ascii"):
            return False
    return True


def body_parser(kind: type[msgspec.Struct]) -> Callable[[bytes], msgspec.Struct | Problem]:
    """The one parser for bodies of this type; built once a route."""
    decoder = msgspec.json.Decoder(kind, strict=True)

    def parse(body: bytes) -> msgspec.Struct | Problem:
        try:
            value = decoder.decode(body)
            _names.decode(body.decode())
        except msgspec.ValidationError as error:
            return invalid(str(error))
        except _NameTwiceError:
            return TWICE
        except (ValueError, RecursionError):
            # msgspec.DecodeError and UnicodeDecodeError are ValueErrors; their texts speak of the decoder.
            return MALFORMED
        return value

    return parse


def query_parser(kind: type[msgspec.Struct] | None) -> Callable[[bytes], msgspec.Struct | Problem | None]:
    """Query strings are text: integers are recognised in their one plain form, the rest is strict."""
    integers = frozenset[str]() if kind is None else _integer_fields(kind)

    def parse(query: bytes) -> msgspec.Struct | Problem | None:
        values: dict[str, str | int] = {}
        if query:
            try:
                pairs = parse_qsl(
                    query.decode("ascii"),
                    keep_blank_values=True,
                    errors="strict",
                    max_num_fields=QUERY_FIELDS_MAX,
                )
            except ValueError:
                return Problem(400, "validation_failed", "The query string is not readable.")
            for name, text in pairs:
                if name in values:
                    return _invalid_parameter(name, "stands twice in the query")
                values[name] = int(text) if name in integers and _INTEGER.match(text) else text
        if kind is None:
            return _invalid_parameter(next(iter(values)), "is not known here") if values else None
        try:
            return msgspec.convert(values, kind, strict=True)
        except msgspec.ValidationError as error:
            return invalid(str(error))

    return parse


def _invalid_parameter(name: str, fault: str) -> Problem:
    name = name[:DETAIL_LENGTH_MAX]
    return Problem(400, "validation_failed", f"The parameter `{name}` {fault}.", extensions={"field": name})


def _integer_fields(kind: type[msgspec.Struct]) -> frozenset[str]:
    info = msgspec.inspect.type_info(kind)
    if not isinstance(info, msgspec.inspect.StructType):
        raise TypeError(f"{kind!r} is not a Struct")
    return frozenset(field.encode_name for field in info.fields if _is_integer(field.type))


def _is_integer(info: msgspec.inspect.Type) -> bool:
    if isinstance(info, msgspec.inspect.UnionType):
        return any(_is_integer(member) for member in info.types)
    if isinstance(info, msgspec.inspect.Metadata):
        return _is_integer(info.type)
    return isinstance(info, msgspec.inspect.IntType)


def idempotency_key(values: Sequence[bytes]) -> str | Problem | None:
    """From the header's values: none, or one that is well formed."""
    if not values:
        return None
    if len(values) > 1 or not _IDEMPOTENCY_KEY.match(values[0]):
        return BAD_IDEMPOTENCY_KEY
    return values[0].decode("ascii")
