"""What a plugin says about a route, what its handler is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from adapters.asgi.problems import FORBIDDEN, NOT_AUTHENTICATED, Headers, Problem
from domain.audit import RequestContext
from domain.identity.access import Permission, PermissionKind, Principal, may

BodyT = TypeVar("BodyT")
QueryT = TypeVar("QueryT")

Shape = type[msgspec.Struct] | tuple[type[msgspec.Struct], ...]
"""Of an answer; where it may have one of several shapes, the first that fits."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A success: encoded once, as JSON. None is an empty body."""

    status: int
    body: msgspec.Struct | msgspec.Raw | Mapping[str, Any] | list[Any] | bytes | None = None
    """`msgspec.Raw` is JSON already, and goes out as it is; `bytes` are of the `media_type`."""
    headers: Headers = ()
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Call(Generic[BodyT, QueryT]):
    """One authorised request, parsed and validated.

    `body` and `query` are instances of the route's `body` and `query` Structs; None where the route
    declares none.
    """

    principal: Principal | None
    """Who calls; None only on public routes, for a caller without a credential."""
    path: Mapping[str, str]
    """The path's parameters, as text: an id's form is the domain's to judge."""
    body: BodyT
    query: QueryT
    context: RequestContext
    idempotency_key: str | None = None
    device_id: str | None = None
    """From the cookie `__Host-device`, else from `X-Device-Id`, as it was sent."""

    @property
    def caller(self) -> Principal:
        """Who calls, on a route that is not public."""
        if self.principal is None:
            raise LookupError("a public route asked for its caller")
        return self.principal

    def refusal(self, permission: Permission, owner_id: str | None) -> Problem | None:
        """For routes whose owner is known only once the resource is loaded; None when allowed."""
        if self.principal is None:
            return NOT_AUTHENTICATED
        return None if may(self.principal, permission, owner_id) else FORBIDDEN


Handler = Callable[[Call[Any, Any]], Awaitable[Answer | Problem]]
"""Carries out one authorised, validated call."""


@dataclass(frozen=True, slots=True)
class Route:
    """One method on one path, with everything that is checked before its handler runs.

    A permission that an owner may satisfy lets every user through to the handler, which asks
    `Call.refusal` once it knows the owner.
    """

    method: str
    path: str
    """Quart's syntax: `/credits/accounts/<account_id>`."""
    name: str
    """Unique, snake_case: the operation's id in the API document."""
    permission: Permission
    handle: Handler
    body: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    parameters: type[msgspec.Struct] | None = None
    """What the path's parameters are like, for the API document; those that it leaves out are text."""
    answer: Shape | None = None
    """The success's shape, for the API document."""
    success: int = 200
    other_successes: tuple[int, ...] = ()
    """Further statuses of the same shape, for the API document."""
    other_answers: Mapping[int, Shape] = field(default_factory=dict)
    """Further statuses of another shape, for the API document."""
    media_types: tuple[str, ...] = ("application/json",)
    """What the success's body may be, for the API document."""
    problems: tuple[Problem, ...] = ()
    """Refusals that only some routes give, for the API document."""
    policies: tuple[str, ...] = ()
    """Limit policies counted beside the caller's own, such as `login`; only on paths without parameters."""
    asks_device: bool = False
    """Whether it matters to a public route which device calls. It does to each that a user's token opens."""
    ignores_key: bool = False
    """For a route whose answer must never be given twice: `Idempotency-Key` is not looked at."""
    cache: str | None = None
    """The `Cache-Control` of a success that is the same for everybody and may be kept. Without it, and for
    a caller with a credential, an answer is `no-store`; so is each refusal."""
    in_document: bool = True
    """Whether the API document shows it."""
    body_bytes_max: int | None = None
    """Overrides the service's limit for this route."""
    summary: str = ""
    description: str = ""
    """What the summary has no room for, for the API document."""
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.cache is not None and self.permission.kind is not PermissionKind.PUBLIC:
            raise ValueError(
                f"{self.method} {self.path} is not for everybody, so nobody may keep its answers"
            )

    @property
    def knows_device(self) -> bool:
        """Whether the device that calls matters to this route."""
        return self.asks_device or self.permission.kind is not PermissionKind.PUBLIC
