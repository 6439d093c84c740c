"""Who may do what, written out from the contract: the specification that the running service is held to.

A route that is not listed here, or that answers anybody otherwise, fails `test_authorisation.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

EVERYBODY: Final = "everybody"
PERSON: Final = "a user, for what is their own"
OWN: Final = "a user; what is another's is not found"
CREDITS_READ: Final = "credits:read, or the account's user"
CREDITS_WRITE: Final = "credits:write"
USERS_READ: Final = "users:read"
USERS_WRITE: Final = "users:write"
AUDIT: Final = "analysts and administrators"
ADMIN: Final = "administrators"

TABLE: Final[Mapping[str, str]] = {
    "GET /": EVERYBODY,
    "GET /health/live": EVERYBODY,
    "GET /health/ready": EVERYBODY,
    "GET /metrics": EVERYBODY,
    "GET /openapi.json": EVERYBODY,
    "GET /asyncapi.json": EVERYBODY,
    "GET /docs": EVERYBODY,
    "GET /docs/<asset>": EVERYBODY,
    "GET /ws": EVERYBODY,
    "GET /.well-known/jwks.json": EVERYBODY,
    "POST /auth/register": EVERYBODY,
    "POST /auth/login": EVERYBODY,
    "POST /auth/refresh": EVERYBODY,
    "POST /auth/logout": PERSON,
    "POST /auth/websocket-token": PERSON,
    "GET /auth/sessions": PERSON,
    "DELETE /auth/sessions": PERSON,
    "DELETE /auth/sessions/<session_id>": OWN,
    "GET /users/me": PERSON,
    "PATCH /users/me": PERSON,
    "DELETE /users/me": PERSON,
    "PUT /users/me/password": PERSON,
    "GET /users": USERS_READ,
    "GET /users/<user_id>": USERS_READ,
    "PATCH /users/<user_id>": ADMIN,
    "DELETE /users/<user_id>": USERS_WRITE,
    "GET /users/me/accounts": PERSON,
    "POST /api-keys": ADMIN,
    "GET /api-keys": ADMIN,
    "DELETE /api-keys/<key_id>": ADMIN,
    "POST /credits/accounts": CREDITS_WRITE,
    "GET /credits/accounts/<account_id>": CREDITS_READ,
    "GET /credits/accounts/<account_id>/entries": CREDITS_READ,
    "GET /credits/accounts/<account_id>/explain": CREDITS_READ,
    "POST /credits/grants": CREDITS_WRITE,
    "GET /credits/grants/<grant_id>": CREDITS_READ,
    "POST /credits/grants/<grant_id>/void": CREDITS_WRITE,
    "POST /credits/transfers": CREDITS_WRITE,
    "POST /credits/transfers/batch": CREDITS_WRITE,
    "GET /credits/transfers/<transfer_id>": CREDITS_READ,
    "POST /credits/transfers/<transfer_id>/reverse": CREDITS_WRITE,
    "POST /credits/holds": CREDITS_WRITE,
    "GET /credits/holds/<hold_id>": CREDITS_READ,
    "POST /credits/holds/<hold_id>/capture": CREDITS_WRITE,
    "POST /credits/holds/<hold_id>/void": CREDITS_WRITE,
    "POST /credits/top-up-rules": CREDITS_WRITE,
    "GET /credits/top-up-rules": CREDITS_READ,
    "DELETE /credits/top-up-rules/<rule_id>": CREDITS_WRITE,
    "GET /credits/ledger/head": ADMIN,
    "POST /credits/ledger/verify": ADMIN,
    "GET /admin/bans": ADMIN,
    "POST /admin/bans": ADMIN,
    "DELETE /admin/bans/<type>/<identifier>": ADMIN,
    "GET /admin/audit": AUDIT,
    "GET /admin/limits/<type>/<identifier>": ADMIN,
    "DELETE /admin/limits/<type>/<identifier>": ADMIN,
}

UNCOUNTED: Final = frozenset({"GET /health/live", "GET /health/ready", "GET /metrics"})
"""Answered before anybody is identified: not even a ban shuts them."""

NOBODY: Final = "nobody"
PERSONS: Final = ("other", "analyst", "admin", "owner")
"""Users; the analyst and the administrator by their role, the owner by whose resources are asked for."""
SCOPES: Final = (
    "credits:read",
    "credits:write",
    "users:read",
    "users:write",
    "realtime:publish",
    "admin",
)
CALLERS: Final = (NOBODY, *(f"key {scope}" for scope in SCOPES), *PERSONS)

LET_IN: Final[Mapping[str, frozenset[str]]] = {
    EVERYBODY: frozenset(CALLERS),
    PERSON: frozenset(PERSONS),
    OWN: frozenset({"owner"}),
    CREDITS_READ: frozenset({"key credits:read", "key admin", "owner", "analyst", "admin"}),
    CREDITS_WRITE: frozenset({"key credits:write", "key admin", "admin"}),
    USERS_READ: frozenset({"key users:read", "key admin", "admin"}),
    USERS_WRITE: frozenset({"key users:write", "key admin", "admin"}),
    AUDIT: frozenset({"key admin", "analyst", "admin"}),
    ADMIN: frozenset({"key admin", "admin"}),
}
