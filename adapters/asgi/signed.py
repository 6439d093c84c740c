"""Signed requests, as far as they are HTTP: what arrived, and whether the body is the one that was signed."""

from __future__ import annotations

from urllib.parse import quote

from adapters.asgi.problems import Problem
from adapters.asgi.types import Scope
from domain.identity.request_signing import HttpRequest, SignatureRejection, is_digest_of, read_signature

_PATH_CHARACTERS = "/:@!$&'()*+,;=~"

DIGEST_NEEDED = "a body must be covered by a Content-Digest (RFC 9530), with sha-256 or sha-512 alone"


def bad_signature(reason: str) -> Problem:
    """Told in full, and held against nobody: whoever reads it has shown a good key."""
    return Problem(
        401,
        "invalid_signature",
        f"The request is not signed as it must be: {reason}.",
        headers=(("WWW-Authenticate", "Bearer"),),
        blameless=True,
    )


def http_request(scope: Scope) -> HttpRequest:
    """The request of an ASGI scope, undecoded."""
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    raw_path = scope.get("raw_path")
    # Optional in ASGI; what a server has decoded is encoded again as most clients do.
    path = quote(scope["path"], safe=_PATH_CHARACTERS) if raw_path is None else raw_path.decode("latin-1")
    return HttpRequest(
        method=scope.get("method", "GET").upper(),
        scheme=scope["scheme"],
        path=path.partition("?")[0],
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
    )


def unsigned_body(scope: Scope, body: bytes) -> Problem | None:
    """For a request whose signature was found good: None when its body was signed with it."""
    if not body:
        return None
    request = http_request(scope)
    signature = read_signature(request)
    digests = request.headers.get("content-digest", ())
    is_covered = not isinstance(signature, SignatureRejection) and "content-digest" in signature.components
    if not is_covered or len(digests) != 1:
        return bad_signature(DIGEST_NEEDED)
    return None if is_digest_of(digests[0], body) else bad_signature("Content-Digest is not the body's")
