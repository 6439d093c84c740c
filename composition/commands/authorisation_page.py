"""`docs/authorisation.md`, printed from the routes that the plugins register."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from adapters.web.operator_routes import PATHS as OPERATOR_PATHS
from adapters.web.route import Route
from composition.commands.api_documents import served_routes
from domain.identity.access import Permission, PermissionKind

_HEAD = """\
# Who may do what

Printed by `python -m composition.commands.authorisation_page > docs/authorisation.md`;
`tests/adapters/web/test_authorisation.py` asks every route as every kind of caller, and holds service,
table and page together.

A caller is anonymous, a **user** with an access token, or a **key**: the holder of an API key. A key has the
scopes that it was created with, and acts in its book; a user acts in the book `main`. The role `analyst`
gives a user `credits:read` and the audit log; the role `admin` and the scope `admin` include every scope. A
key is no user, so the routes for a user's own resources refuse it.

A request with a bad credential (unknown, forged, expired, revoked, of another device or of none) is refused
with 401 on every route, including those for everybody, even if it has a good one as well:
[what a request shows](credentials.md). A banned address, user or key is refused with 403 `banned` on every
route but `/health/*` and `/metrics`. An anonymous caller without a permission is refused with 401
`not_authenticated`, any other with 403 `forbidden`. Another user's session is not found.

| route | who |
|---|---|
"""

_FOOT = """
With `CREDIT_METRICS_TOKEN`, `/metrics` requires that token. `/ws` is open to everybody for 10 s: the first
frame must bring a WebSocket token.
"""


def page(routes: Sequence[Route]) -> str:
    """The page in Markdown."""
    rows = {f"{route.method} {path_of(route)}": words(route.permission) for route in routes}
    rows |= {f"GET {path}": _EVERYBODY for path in OPERATOR_PATHS}
    ordered = sorted(rows.items(), key=lambda row: row[0].split(" ")[::-1])
    return _HEAD + "\n".join(f"| `{route}` | {who} |" for route, who in ordered) + "\n" + _FOOT


def path_of(route: Route) -> str:
    """The path as documents write it, with parameters by name alone."""
    return route.path.replace("<path:", "<")


_EVERYBODY = "everybody"


def words(permission: Permission) -> str:
    """A permission in words."""
    scopes = " or ".join(f"`{scope}`" for scope in sorted(scope.value for scope in permission.scopes))
    match permission.kind:
        case PermissionKind.PUBLIC:
            return _EVERYBODY
        case PermissionKind.USER:
            return "a user, for what is their own"
        case PermissionKind.SCOPE:
            return scopes
        case PermissionKind.SCOPE_OR_OWNER:
            return f"{scopes}, or the account's user"
        case PermissionKind.AUDIT:
            return "analysts and administrators"
        case PermissionKind.ADMIN:
            return "administrators"


if __name__ == "__main__":
    print(page(asyncio.run(served_routes())), end="")
