"""What is known of one request, from the guard's first look to the last byte of its answer."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from domain.access import Principal

SCOPE_KEY = "credit.exchange"


class Exchange:
    """Travels in the ASGI scope: the guard writes who is asking, the application which route it was."""

    __slots__ = (
        "address",
        "blames_address",
        "device_id",
        "principal",
        "problem_code",
        "request_id",
        "route",
        "user_agent",
    )

    def __init__(self, request_id: str, address: str) -> None:
        self.request_id = request_id
        self.address = address
        """The client's, as it is counted: an IPv4 address or an IPv6 /64."""
        self.blames_address = False
        """Whether an error of this request is its address's; see `Guard`."""
        self.principal: Principal | None = None
        self.device_id: str | None = None
        self.user_agent = ""
        self.route: str | None = None
        """The template that matched, once one did."""
        self.problem_code: str | None = None
        """The code of the problem that was answered, if one was."""


def exchange_of(scope: MutableMapping[str, Any]) -> Exchange:
    """The guard's; without a guard in front, one of an anonymous caller."""
    exchange = scope.get(SCOPE_KEY)
    if isinstance(exchange, Exchange):
        return exchange
    exchange = Exchange("unguarded", "unknown")
    scope[SCOPE_KEY] = exchange
    return exchange
