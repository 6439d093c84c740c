"""Signed requests, as far as they are HTTP: what arrived, and whether the body is the one that was signed."""

from __future__ import annotations

from urllib.parse import quote

from adapters.asgi.problems import Problem
from adapters.asgi.request_head import RequestHead
from adapters.asgi.request_state import RequestState
from adapters.asgi.types import Scope
from domain.identity.request_signing import (
    HttpRequest,
    SignatureRejection,
    SignedRequest,
    is_digest_of,
    read_signed_request,
)

_PATH_CHARACTERS = "/:@!$&'()*+,;=~"

DIGEST_NEEDED = "a body must be covered by a Content-Digest (RFC 9530), with sha-256 or sha-512 alone"


def bad_signature(reason: str) -> Problem:
    """Told in full, and held against no address: a client that is answered so has shown a good key."""
    return Problem(
        401,
        "invalid_signature",
        f"The request is not signed as it must be: {reason}.",
        headers=(("WWW-Authenticate", "Bearer"),),
        blameless=True,
    )


def signed_request(scope: Scope, state: RequestState) -> SignedRequest | SignatureRejection:
    """The request with its signature, parsed at the first call and kept in the state."""
    if state.signed is None:
        state.signed = read_signed_request(_http_request(scope, state.head))
    return state.signed


def unsigned_body(state: RequestState, body: bytes) -> Problem | None:
    """For a request whose signature was found good: None when its body was signed with it."""
    if not body:
        return None
    signed = state.signed
    if signed is None or isinstance(signed, SignatureRejection):
        raise LookupError("the request was taken for a signed one, and its signature was never read")
    digests = signed.request.headers.get("content-digest", ())
    if "content-digest" not in signed.signature.components or len(digests) != 1:
        return bad_signature(DIGEST_NEEDED)
    return None if is_digest_of(digests[0], body) else bad_signature("Content-Digest is not the body's")


def _http_request(scope: Scope, head: RequestHead) -> HttpRequest:
    """The request of an ASGI scope, undecoded."""
    raw_path = scope.get("raw_path")
    # Optional in ASGI; what a server has decoded is encoded again as most clients do.
    path = quote(scope["path"], safe=_PATH_CHARACTERS) if raw_path is None else raw_path.decode("latin-1")
    return HttpRequest(
        method=scope.get("method", "GET").upper(),
        scheme=scope["scheme"],
        path=path.partition("?")[0],
        query=scope["query_string"].decode("latin-1"),
        headers=head.texts(),
    )
