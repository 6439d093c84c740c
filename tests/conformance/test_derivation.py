"""Keys are derived as the standards say, by their own vectors."""

from __future__ import annotations

import hmac

import pytest

from adapters.crypto.derivation import derived_key, passphrase_key


@pytest.mark.parametrize(
    ("passphrase", "salt", "rounds", "key"),
    [
        # RFC 7914, section 11: the first 32 of 64 bytes.
        ("passwd", b"salt", 1, "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"),
        ("Password", b"NaCl", 80_000, "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56"),
    ],
)
def test_a_passphrase_gives_the_key_of_the_standard(
    passphrase: str, salt: bytes, rounds: int, key: str
) -> None:
    assert passphrase_key(passphrase, salt, rounds=rounds).hex() == key


def test_a_derived_key_is_hkdf_without_a_salt() -> None:
    extracted = hmac.digest(bytes(32), b"root", "sha256")
    assert derived_key("root", "use") == hmac.digest(extracted, b"credit-system/use\1", "sha256")


def test_another_purpose_is_another_key() -> None:
    assert derived_key("root", "one") != derived_key("root", "other")
