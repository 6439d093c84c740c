"""Compact JSON Web Signatures (RFC 7515) with PyJWT's algorithms, and none of its leniency.

PyJWT takes padded base64, unknown headers and any `typ`; here each token has one spelling only.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import Algorithm, HMACAlgorithm, OKPAlgorithm

from domain.identity.tokens import SigningAlgorithm
from ports.identity.token_signer import SignedToken, TokenSigner

TOKEN_CHARACTERS_MAX = 4_096
HEADER_CHARACTERS_MAX = 512
HEADERS_REMEMBERED_MAX = 64
HS256_KEY_BYTES_MIN = 32
ED25519_SEED_BYTES = 32

_HEADER_NAMES = {"alg", "kid", "typ"}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key of the ring. `material`: the secret for HS256, the private key's seed for EdDSA (Ed25519)."""

    kid: str
    material: bytes = field(repr=False)
    algorithm: SigningAlgorithm = SigningAlgorithm.HS256


@dataclass(frozen=True, slots=True)
class _Prepared:
    kid: str
    name: str
    algorithm: Algorithm
    signing: Any
    verifying: Any


class JwtSigner:
    """`TokenSigner` over a ring of keys; the first signs, all verify.

    A key is used with its own algorithm only, whatever a token's header says.
    """

    def __init__(self, *, keys: Sequence[SigningKey]) -> None:
        """Raises `ValueError` for an empty ring, a repeated `kid`, or a key too short for its algorithm."""
        prepared = [_prepare(key) for key in keys]
        if not prepared:
            raise ValueError("a ring has at least one key")
        self._writing = prepared[0]
        self._ring = {key.kid: key for key in prepared}
        if len(self._ring) != len(prepared):
            raise ValueError("two keys have the same kid")
        self._headers: dict[bytes, tuple[Mapping[str, object], _Prepared]] = {}

    def sign(self, header: Mapping[str, object], claims: Mapping[str, object]) -> str:
        key = self._writing
        full = {**header, "alg": key.name, "kid": key.kid}
        signed = _encode(_json(full)) + b"." + _encode(_json(claims))
        return (signed + b"." + _encode(key.algorithm.sign(signed, key.signing))).decode()

    def verify(self, token: str) -> SignedToken | None:
        if len(token) > TOKEN_CHARACTERS_MAX or not token.isascii():
            return None
        signed, _, signature_text = token.encode().rpartition(b".")
        header_text, _, payload_text = signed.partition(b".")
        found = self._headers.get(header_text) or self._read_header(header_text)
        signature = _decode(signature_text)
        payload = _decode(payload_text)
        if found is None or signature is None or payload is None:
            return None
        header, key = found
        if not key.algorithm.verify(signed, key.verifying, signature):
            return None
        if len(self._headers) < HEADERS_REMEMBERED_MAX:
            # Only headers that one of our keys has signed: a stranger cannot fill this.
            self._headers[header_text] = found
        claims = _object(payload)
        return None if claims is None else SignedToken(header=header, claims=claims)

    def _read_header(self, text: bytes) -> tuple[Mapping[str, object], _Prepared] | None:
        data = _decode(text) if len(text) <= HEADER_CHARACTERS_MAX else None
        header = None if data is None else _object(data)
        # Nothing but these: no `crit` to honour, no `jwk`, `jku` or `x5u` to be led away by.
        if header is None or header.keys() != _HEADER_NAMES:
            return None
        kid = header["kid"]
        key = self._ring.get(kid) if isinstance(kid, str) else None
        return (header, key) if key is not None and header["alg"] == key.name else None


def _prepare(key: SigningKey) -> _Prepared:
    algorithm: Algorithm
    signing: Any
    verifying: Any
    if key.algorithm is SigningAlgorithm.HS256:
        if len(key.material) < HS256_KEY_BYTES_MIN:
            raise ValueError(f"HS256 takes a key of at least {HS256_KEY_BYTES_MIN} bytes (RFC 7518, 3.2)")
        algorithm = HMACAlgorithm(HMACAlgorithm.SHA256)
        signing = verifying = algorithm.prepare_key(key.material)
    else:
        if len(key.material) != ED25519_SEED_BYTES:
            raise ValueError(f"EdDSA takes a seed of {ED25519_SEED_BYTES} bytes (RFC 8032, 5.1.5)")
        algorithm = OKPAlgorithm()
        signing = Ed25519PrivateKey.from_private_bytes(key.material)
        verifying = signing.public_key()
    return _Prepared(
        kid=key.kid,
        name=key.algorithm.value,
        algorithm=algorithm,
        signing=signing,
        verifying=verifying,
    )


def _json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _object(data: bytes) -> Mapping[str, object] | None:
    """None unless it is an object in which every name stands once: which of two holds, readers disagree."""
    try:
        # Decoded here: `json.loads` would take UTF-16 as well.
        value = json.loads(data.decode(), object_pairs_hook=_members, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice")
    return members


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decode(text: bytes) -> bytes | None:
    """None unless the text is the one spelling of its bytes (no padding, no stray bits)."""
    try:
        data = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None
    return data if _encode(data) == text else None


def _proof(signer: JwtSigner) -> TokenSigner:
    """mypy holds the adapter to its port here."""
    return signer
