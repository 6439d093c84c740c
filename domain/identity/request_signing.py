"""Signed requests: HTTP Message Signatures (RFC 9421) with `hmac-sha256`, which an API key can require.

Only the canonical serialisation of the grammar is accepted, with one signature. So the text of the parameters
is exactly what was signed, and no two readers can read it differently.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

WINDOW_MS = 60_000
"""How far `created` may lie from now, before or after."""
NONCE_TTL_MS = 3 * WINDOW_MS
"""How long a nonce is remembered: a signature from the edge of the future is valid for two windows, and the
clocks of two workers may differ by another one."""
HEADER_CHARACTERS_MAX = 1_024
COMPONENTS_MAX = 24
ALGORITHM = "hmac-sha256"

_FIELD = r'"(?:@[a-z-]{1,24}|[a-z0-9-]{1,64})"'
_INPUT = re.compile(rf"([a-z][a-z0-9_-]{{0,31}})=(\(({_FIELD}(?: {_FIELD})*)\)((?:;[^;]{{1,160}})+))")
_SIGNATURE = re.compile(r"([a-z][a-z0-9_-]{0,31})=:([A-Za-z0-9+/]{43}=):")
_PARAMETER = re.compile(
    r';(?:(created|expires)=([1-9][0-9]{0,14})|(keyid|nonce|alg|tag)="([!#-\[\]-~]{1,128})")'
)
_NONCE = re.compile(r"[A-Za-z0-9_.:+/=-]{16,64}")
_DIGEST = re.compile(r"(sha-256|sha-512)=:([A-Za-z0-9+/]{4,86}={0,2}):")
_HASHES = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_SIGNED_WHERE_PRESENT = ("idempotency-key",)
"""Headers that change the effect of a request."""


class SignatureRejection(Enum):
    """Why a signed request is refused, in order of precedence, worded for its signer."""

    MISSING = "this key must sign: Signature-Input and Signature are needed, once each"
    MALFORMED = "not one signature in canonical form, with created, keyid and nonce (RFC 9421)"
    ANOTHER_KEY = "keyid names another key"
    INCOMPLETE = (
        "it must cover @method, @target-uri or both @authority and @path, @query where there is one, "
        "and Idempotency-Key where it is sent"
    )
    STALE = "created is more than a minute from now, or expires is over"
    WRONG = "the signature does not fit the request"
    REPLAYED = "this nonce was used before"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as it arrived, neither decoded nor normalised."""

    method: str
    scheme: str
    path: str
    query: str
    """The query without its question mark."""
    headers: Mapping[str, Sequence[str]]
    """The values by lower-case name, in the order of arrival."""


@dataclass(frozen=True, slots=True)
class RequestSignature:
    """The content of the two headers, not checked. Times are seconds since the epoch."""

    components: tuple[str, ...]
    parameters: str
    """The inner list with its parameters, as signed."""
    created_s: int
    expires_s: int | None
    key_id: str
    nonce: str
    mac: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request and the signature that stands in it, not yet known to be good."""

    request: HttpRequest
    signature: RequestSignature


def read_signed_request(request: HttpRequest) -> SignedRequest | SignatureRejection:
    """The request with its signature: `MISSING` or `MALFORMED` where that cannot be read."""
    signature = read_signature(request)
    return signature if isinstance(signature, SignatureRejection) else SignedRequest(request, signature)


def read_signature(request: HttpRequest) -> RequestSignature | SignatureRejection:
    """The signature in `Signature-Input` and `Signature`, or why there is none to check."""
    inputs, signatures = (request.headers.get(name, ()) for name in ("signature-input", "signature"))
    if len(inputs) != 1 or len(signatures) != 1:
        return SignatureRejection.MISSING
    if len(inputs[0]) > HEADER_CHARACTERS_MAX:
        return SignatureRejection.MALFORMED
    described, signed = _INPUT.fullmatch(inputs[0]), _SIGNATURE.fullmatch(signatures[0])
    if described is None or signed is None or described[1] != signed[1]:
        return SignatureRejection.MALFORMED
    components = tuple(part.strip('"') for part in described[3].split(" "))
    parameters = _parameters(described[4])
    mac = _decoded(signed[2])
    if parameters is None or mac is None or not _is_sound(components, parameters):
        return SignatureRejection.MALFORMED
    return RequestSignature(
        components=components,
        parameters=described[2],
        created_s=int(parameters["created"]),
        expires_s=int(parameters["expires"]) if "expires" in parameters else None,
        key_id=parameters["keyid"],
        nonce=parameters["nonce"],
        mac=mac,
    )


def check_signature(
    signature: RequestSignature, request: HttpRequest, *, key_id: str, secret: bytes, now_ms: int
) -> SignatureRejection | None:
    """Why a signature is refused; None for a good one, whose nonce is left to check."""
    if signature.key_id != key_id:
        return SignatureRejection.ANOTHER_KEY
    if not _covers_enough(signature.components, request):
        return SignatureRejection.INCOMPLETE
    is_over = signature.expires_s is not None and now_ms >= signature.expires_s * 1000
    if is_over or abs(now_ms - signature.created_s * 1000) > WINDOW_MS:
        return SignatureRejection.STALE
    # A proxy that ends TLS changes the scheme, which protects nothing here: both schemes are tried.
    bases = [signature_base(signature, request, scheme) for scheme in _DEFAULT_PORTS]
    matches = [
        hmac.compare_digest(hmac.digest(secret, base, hashlib.sha256), signature.mac)
        for base in bases
        if base is not None
    ]
    return None if any(matches) else SignatureRejection.WRONG


def signature_base(signature: RequestSignature, request: HttpRequest, scheme: str) -> bytes | None:
    """The signature base (RFC 9421, 2.5); None when the request lacks a component."""
    lines = []
    for component in signature.components:
        value = _value(component, request, scheme)
        if value is None:
            return None
        lines.append(f'"{component}": {value}')
    lines.append(f'"@signature-params": {signature.parameters}')
    return "\n".join(lines).encode("latin-1")


def is_digest_of(text: str, body: bytes) -> bool:
    """Whether a `Content-Digest` (RFC 9530) with one digest matches the body."""
    match = _DIGEST.fullmatch(text)
    if match is None:
        return False
    expected = base64.b64encode(_HASHES[match[1]](body).digest())
    return hmac.compare_digest(expected, match[2].encode())


def _parameters(text: str) -> Mapping[str, str] | None:
    """The parameters by name; None when one is unknown or repeated."""
    matches = list(_PARAMETER.finditer(text))
    if "".join(match[0] for match in matches) != text:
        return None
    parameters = {match[1] or match[3]: match[2] or match[4] for match in matches}
    return parameters if len(parameters) == len(matches) else None


def _is_sound(components: Sequence[str], parameters: Mapping[str, str]) -> bool:
    return (
        len(components) <= COMPONENTS_MAX
        and len(set(components)) == len(components)
        and parameters.keys() >= {"created", "keyid", "nonce"}
        and parameters.get("alg", ALGORITHM) == ALGORITHM
        and _NONCE.fullmatch(parameters["nonce"]) is not None
    )


def _covers_enough(components: Sequence[str], request: HttpRequest) -> bool:
    covered = set(components)
    is_whole = "@target-uri" in covered
    return (
        "@method" in covered
        and (is_whole or {"@authority", "@path"} <= covered)
        and (is_whole or not request.query or "@query" in covered)
        and all(name in covered for name in _SIGNED_WHERE_PRESENT if name in request.headers)
    )


def _value(component: str, request: HttpRequest, scheme: str) -> str | None:
    if not component.startswith("@"):
        values = request.headers.get(component)
        return None if values is None else ", ".join(value.strip(" \t") for value in values)
    authority = _authority(request, scheme)
    match component:
        case "@method":
            return request.method
        case "@authority":
            return authority
        case "@scheme":
            return scheme
        case "@path":
            return request.path or "/"
        case "@query":
            return f"?{request.query}"
        case "@target-uri" if authority is not None:
            query = f"?{request.query}" if request.query else ""
            return f"{scheme}://{authority}{request.path or '/'}{query}"
        case _:
            return None


def _authority(request: HttpRequest, scheme: str) -> str | None:
    hosts = request.headers.get("host", ())
    return hosts[0].lower().removesuffix(_DEFAULT_PORTS[scheme]) if len(hosts) == 1 else None


def _decoded(text: str) -> bytes | None:
    """The bytes of a text in base64; None unless it is their canonical spelling."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode() == text else None
