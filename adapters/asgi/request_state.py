"""What is known of one request, from the guard's first look to the last byte of its answer."""

from __future__ import annotations

from adapters.asgi.request_head import RequestHead
from adapters.asgi.types import Scope
from domain.addresses import UNKNOWN
from domain.audit import ANONYMOUS, RequestContext
from domain.identity.access import Principal
from domain.identity.request_signing import SignatureRejection, SignedRequest

SCOPE_KEY = "credit.request"


class RequestState:
    """Travels in the ASGI scope, under `SCOPE_KEY`. The guard makes it and writes who calls; the view writes
    which route was matched. `domain.audit.RequestContext` is the part of it that use cases see.
    """

    __slots__ = (
        "address",
        "blameless",
        "blames_address",
        "cache",
        "device_id",
        "exempt",
        "has_bad_device",
        "has_credentials",
        "head",
        "method",
        "path",
        "principal",
        "problem_code",
        "request_id",
        "route",
        "signed",
        "user_agent",
    )

    def __init__(
        self,
        head: RequestHead,
        *,
        request_id: str,
        address: str,
        method: str,
        path: str,
        exempt: bool = False,
    ) -> None:
        self.head = head
        self.request_id = request_id
        self.method = method
        self.path = path
        self.address = address
        """The client's, as it is counted: an IPv4 address or an IPv6 /64."""
        self.exempt = exempt
        """Whether the address is allow-listed: nothing is counted or held against it."""
        self.blames_address = False
        """Whether an error of this request is its address's; see `Guard`."""
        self.blameless = False
        """Whether the problem that was answered is held against no address."""
        self.principal: Principal | None = None
        """The verified caller, once the request was admitted."""
        self.signed: SignedRequest | SignatureRejection | None = None
        """The request with its signature, once a key that must sign asked for it."""
        self.has_credentials = head.has_credentials
        """Whether the request carries a credential, good or bad."""
        self.cache: str | None = None
        """The route's, once it answered with a success; see `Route.cache`."""
        self.device_id = head.device_id()
        self.has_bad_device = head.has_bad_device()
        """Whether `X-Device-Id` is there and is not one device's id."""
        self.user_agent = head.user_agent()
        self.route: str | None = None
        """The template that matched, once one did."""
        self.problem_code: str | None = None
        """The code of the problem that was answered, if one was."""

    def context(self) -> RequestContext:
        """Where the request comes from; its actor is `anonymous` until the caller is verified."""
        principal = self.principal
        return RequestContext(
            request_id=self.request_id,
            address=self.address,
            user_agent=self.user_agent,
            actor=ANONYMOUS if principal is None else principal.actor,
        )


def request_state(scope: Scope) -> RequestState:
    """The guard's; without a guard in front, one of an anonymous caller."""
    state = scope.get(SCOPE_KEY)
    if isinstance(state, RequestState):
        return state
    state = RequestState(
        RequestHead(scope["headers"]),
        request_id="unguarded",
        address=UNKNOWN,
        method=scope.get("method", "GET"),
        path=scope["path"],
    )
    scope[SCOPE_KEY] = state
    return state
