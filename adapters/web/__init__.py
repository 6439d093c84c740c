"""HTTP: the application over Quart and the guard in front of it.

Plugins see only what is named here.
"""

from __future__ import annotations

from adapters.asgi.credential_verifier import NO_DEVICE, OTHER_DEVICE
from adapters.asgi.head import DEVICE_COOKIE
from adapters.asgi.problems import BAD_DEVICE, FORBIDDEN, NOT_AUTHENTICATED, NOT_FOUND, Headers, Problem
from adapters.asgi.quota import refusal as limit_refusal
from adapters.web.fields import (
    AMOUNT_MAX,
    METADATA_BYTES_MAX,
    AccountReference,
    Amount,
    AssetCode,
    Body,
    Cursor,
    Identifier,
    ListLimit,
    ListQuery,
    Metadata,
    Moment,
    StoredMetadata,
    Time,
    TransferCode,
    check_metadata,
    cursor_form,
    milliseconds,
    rfc3339,
    told_as,
)
from adapters.web.route import Answer, Call, Handler, Route, Shape

__all__ = [
    "AMOUNT_MAX",
    "BAD_DEVICE",
    "DEVICE_COOKIE",
    "FORBIDDEN",
    "METADATA_BYTES_MAX",
    "NOT_AUTHENTICATED",
    "NOT_FOUND",
    "NO_DEVICE",
    "OTHER_DEVICE",
    "AccountReference",
    "Amount",
    "Answer",
    "AssetCode",
    "Body",
    "Call",
    "Cursor",
    "Handler",
    "Headers",
    "Identifier",
    "ListLimit",
    "ListQuery",
    "Metadata",
    "Moment",
    "Problem",
    "Route",
    "Shape",
    "StoredMetadata",
    "Time",
    "TransferCode",
    "check_metadata",
    "cursor_form",
    "limit_refusal",
    "milliseconds",
    "rfc3339",
    "told_as",
]
