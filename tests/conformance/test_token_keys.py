"""What the keys of tokens promise while their ring is rotated."""

from __future__ import annotations

import base64

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from adapters.crypto.token_keys import TokenKeyring
from domain.encryption.keyring import Ring, RingKey
from domain.identity.tokens import ACCESS_KEY_LIFETIME_MS, SigningAlgorithm

REFRESH_MS = 14 * 86_400_000
START_MS = 1_800_000_000_000
OLD = RingKey("an old root key")
NEW = RingKey("a new root key", START_MS + 60_000)
HEADER: dict[str, object] = {"typ": "at+jwt"}
CLAIMS: dict[str, object] = {"sub": "usr_1"}


class Clock:
    def __init__(self) -> None:
        self.ms = START_MS

    def now_ms(self) -> int:
        return self.ms


def keyring(
    clock: Clock, *keys: RingKey, algorithm: SigningAlgorithm = SigningAlgorithm.HS256
) -> TokenKeyring:
    return TokenKeyring(keys, clock=clock, algorithm=algorithm, refresh_lifetime_ms=REFRESH_MS)


def test_a_new_key_reads_at_once_and_writes_when_its_time_has_come() -> None:
    clock = Clock()
    keys, ahead = keyring(clock, OLD, NEW), keyring(clock, NEW)
    of_new = ahead.current().signer.sign(HEADER, CLAIMS)
    of_old = keys.current().signer.sign(HEADER, CLAIMS)
    assert keys.current().signer.verify(of_new) is not None
    assert ahead.current().signer.verify(of_old) is None
    clock.ms = NEW.writes_from_ms
    assert ahead.current().signer.verify(keys.current().signer.sign(HEADER, CLAIMS)) is not None
    assert keys.current().signer.verify(of_old) is not None
    assert keys.current().refresh_keys[0] == ahead.current().refresh_keys[0]
    assert keys.current().device_keys[0] == ahead.current().device_keys[0]


def test_an_old_key_is_believed_until_nothing_of_it_lives_and_for_refresh_tokens_that_is_longer() -> None:
    clock = Clock()
    keys = keyring(clock, OLD, NEW)
    of_old = keys.current().signer.sign(HEADER, CLAIMS)
    clock.ms = NEW.writes_from_ms + ACCESS_KEY_LIFETIME_MS - 1
    assert keys.current().signer.verify(of_old) is not None
    clock.ms += 1
    assert keys.current().signer.verify(of_old) is None
    assert (len(keys.current().device_keys), len(keys.current().refresh_keys)) == (1, 2)
    clock.ms = NEW.writes_from_ms + REFRESH_MS
    assert len(keys.current().refresh_keys) == 1


@pytest.mark.parametrize("algorithm", list(SigningAlgorithm))
def test_a_key_whose_access_tokens_have_expired_still_tells_that_they_were_ours(
    algorithm: SigningAlgorithm,
) -> None:
    clock = Clock()
    keys = keyring(clock, OLD, NEW, algorithm=algorithm)
    of_old = keys.current().signer.sign(HEADER, CLAIMS)
    assert keys.current().former is None
    clock.ms = NEW.writes_from_ms + ACCESS_KEY_LIFETIME_MS
    current = keys.current()
    assert current.former is not None
    assert current.signer.verify(of_old) is None
    assert current.former.verify(of_old) is not None
    assert current.former.verify(current.signer.sign(HEADER, CLAIMS)) is None
    assert current.former.verify(of_old[:-4] + "AAAA") is None


def test_the_set_is_the_same_object_until_something_changes() -> None:
    clock = Clock()
    keys = keyring(clock, OLD, NEW)
    first = keys.current()
    clock.ms = NEW.writes_from_ms - 1
    assert keys.current() is first
    clock.ms += 1
    assert keys.current() is not first


def test_a_change_of_the_algorithm_refuses_no_token_that_lives() -> None:
    clock = Clock()
    before = keyring(clock, OLD)
    after = keyring(clock, OLD, algorithm=SigningAlgorithm.EDDSA)
    token = before.current().signer.sign(HEADER, CLAIMS)
    assert after.current().signer.verify(token) is not None
    signed = after.current().signer.sign(HEADER, CLAIMS)
    assert before.current().signer.verify(signed) is not None
    assert jwt.get_unverified_header(token)["alg"] == "HS256"
    assert jwt.get_unverified_header(signed)["alg"] == "EdDSA"
    assert jwt.get_unverified_header(token)["kid"] != jwt.get_unverified_header(signed)["kid"]


def test_a_public_key_verifies_what_any_jwt_library_is_given() -> None:
    keys = keyring(Clock(), OLD, NEW, algorithm=SigningAlgorithm.EDDSA).current()
    token = keys.signer.sign(HEADER, CLAIMS)
    by_kid = {key["kid"]: jwt.PyJWK.from_dict(dict(key)) for key in keys.public_keys}
    assert len(by_kid) == 2
    key = by_kid[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, key, algorithms=["EdDSA"]) == CLAIMS


def test_no_public_key_is_the_key_of_anything_secret() -> None:
    for algorithm in SigningAlgorithm:
        keys = keyring(Clock(), OLD, NEW, algorithm=algorithm).current()
        for key in keys.public_keys:
            assert key.keys() == {"kty", "crv", "use", "alg", "kid", "x"}
            Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "="))
    assert keyring(Clock(), OLD, NEW).current().public_keys == ()


@pytest.mark.parametrize("seen", [None, (OLD,)])
def test_a_look_that_sees_nothing_new_changes_nothing(seen: Ring | None) -> None:
    keys = TokenKeyring((OLD,), clock=Clock(), refresh_lifetime_ms=REFRESH_MS, look=lambda: seen)
    first = keys.current()
    assert not keys.reload()
    assert keys.current() is first


def test_a_look_takes_in_another_ring() -> None:
    keys = TokenKeyring((OLD,), clock=Clock(), refresh_lifetime_ms=REFRESH_MS, look=lambda: (OLD, NEW))
    assert keys.reload()
    assert not keys.reload()
    assert len(keys.current().refresh_keys) == 2
