"""Access: principals, permissions, and the one rule that every route checks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from domain.identity.api_keys import DEFAULT_BOOK, Scope
from domain.identity.users import Role


class PrincipalKind(Enum):
    """Whether a person's access token or a service's key was presented."""

    USER = "user"
    API_KEY = "api_key"


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified caller: a user by an access token, or a service by its key."""

    kind: PrincipalKind
    id: str
    """The user's id, or the key's."""
    roles: frozenset[Role] = frozenset()
    scopes: frozenset[Scope] = frozenset()
    book: str = DEFAULT_BOOK
    """The book of its acts under `/credits`. A bearer of an access token always acts in `main`."""
    session_id: str | None = None
    """The session of a user's token; a key has none."""
    user_id: str | None = None
    """The user; a key has none."""
    key_sponsor_id: str | None = None
    """`ApiKey.sponsor_id` of a key."""
    signs: bool = False
    """Whether its requests are signed, so that their bodies have to match a digest."""

    @property
    def actor(self) -> str:
        """Its name in the audit log."""
        return f"{self.kind.value}:{self.id}"

    @property
    def sponsor_id(self) -> str | None:
        """The sponsor of the keys that it creates."""
        return self.user_id or self.key_sponsor_id

    @property
    def is_admin(self) -> bool:
        """Whether it has the role or the scope `admin`."""
        return Role.ADMIN in self.roles or Scope.ADMIN in self.scopes


class PermissionKind(Enum):
    PUBLIC = "public"
    USER = "user"
    SCOPE = "scope"
    SCOPE_OR_OWNER = "scope_or_owner"
    AUDIT = "audit"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Permission:
    """What a route requires of its caller: a constant below, `any_scope` or `scope_or_owner`."""

    kind: PermissionKind
    scopes: frozenset[Scope] = frozenset()

    @property
    def owner_may(self) -> bool:
        """Whether any user may pass to where the owner is known, and `may` decides again."""
        return self.kind is PermissionKind.SCOPE_OR_OWNER


PUBLIC = Permission(PermissionKind.PUBLIC)
"""Everyone may, with or without a credential."""
USER = Permission(PermissionKind.USER)
"""A user with an access token, for resources of their own."""
AUDIT = Permission(PermissionKind.AUDIT)
"""Reading the audit log."""
ADMIN = Permission(PermissionKind.ADMIN)
"""Administrators alone."""

_ANALYST_SCOPES = frozenset({Scope.CREDITS_READ})


def any_scope(*scopes: Scope) -> Permission:
    """At least one of these scopes."""
    return Permission(PermissionKind.SCOPE, frozenset(scopes))


def scope_or_owner(*scopes: Scope) -> Permission:
    """At least one of these scopes, or ownership of the resource."""
    return Permission(PermissionKind.SCOPE_OR_OWNER, frozenset(scopes))


def effective_scopes(principal: Principal) -> frozenset[Scope]:
    """The scopes of a principal. `admin` includes every scope; the role `analyst` includes reading."""
    if principal.is_admin:
        return frozenset(Scope)
    if Role.ANALYST in principal.roles:
        return principal.scopes | _ANALYST_SCOPES
    return principal.scopes


def may(principal: Principal | None, permission: Permission, owner_id: str | None = None) -> bool:
    """Whether a caller has a permission. `owner_id` is the user whom the resource belongs to, once known."""
    if permission.kind is PermissionKind.PUBLIC:
        return True
    if principal is None:
        return False
    match permission.kind:
        case PermissionKind.USER:
            return principal.user_id is not None
        case PermissionKind.SCOPE:
            return not permission.scopes.isdisjoint(effective_scopes(principal))
        case PermissionKind.SCOPE_OR_OWNER:
            is_owner = owner_id is not None and principal.user_id == owner_id
            return is_owner or not permission.scopes.isdisjoint(effective_scopes(principal))
        case PermissionKind.AUDIT:
            return principal.is_admin or Role.ANALYST in principal.roles
        case PermissionKind.ADMIN:
            return principal.is_admin
