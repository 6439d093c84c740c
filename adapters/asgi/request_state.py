"""What is known of one request, from the guard's first look to the last byte of its answer."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from domain.addresses import UNKNOWN
from domain.identity.access import Principal

SCOPE_KEY = "credit.request"


class RequestState:
    """Travels in the ASGI scope: the guard writes who is asking, the application which route it was."""

    __slots__ = (
        "address",
        "blameless",
        "blames_address",
        "cache",
        "device_id",
        "exempt",
        "has_bad_device",
        "has_credentials",
        "method",
        "path",
        "principal",
        "problem_code",
        "request_id",
        "route",
        "user_agent",
    )

    def __init__(self, request_id: str, address: str, method: str, path: str) -> None:
        self.request_id = request_id
        self.method = method
        self.path = path
        self.address = address
        """The client's, as it is counted: an IPv4 address or an IPv6 /64."""
        self.exempt = False
        """Whether the address is allow-listed: nothing is counted or held against it."""
        self.blames_address = False
        """Whether an error of this request is its address's; see `Guard`."""
        self.blameless = False
        """Whether the problem that was answered says nothing against anybody."""
        self.principal: Principal | None = None
        self.has_credentials = False
        """Whether anything was presented to say who calls, be it good or bad."""
        self.cache: str | None = None
        """The route's, once it answered with a success; see `Route.cache`."""
        self.device_id: str | None = None
        self.has_bad_device = False
        """Whether `X-Device-Id` is there and is not one device's id."""
        self.user_agent = ""
        self.route: str | None = None
        """The template that matched, once one did."""
        self.problem_code: str | None = None
        """The code of the problem that was answered, if one was."""


def request_state(scope: MutableMapping[str, Any]) -> RequestState:
    """The guard's; without a guard in front, one of an anonymous caller."""
    state = scope.get(SCOPE_KEY)
    if isinstance(state, RequestState):
        return state
    state = RequestState("unguarded", UNKNOWN, scope.get("method", "GET"), scope["path"])
    scope[SCOPE_KEY] = state
    return state
