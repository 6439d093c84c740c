"""Keys are derived and values sealed as the standards say, by their own vectors."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import cryptography_vectors
import pytest
from cryptography.fernet import Fernet, InvalidToken

from adapters.crypto.derivation import PASSPHRASE_ROUNDS, derived_key, hkdf, passphrase_key, root_key
from adapters.crypto.field_cipher import AesGcmKey
from adapters.runtime.system import SystemEntropy
from domain.encryption.keyring import RingKey

VECTORS = Path(cryptography_vectors.__file__).parent


def records(*parts: str) -> Iterator[dict[str, str]]:
    """The records of a file of vectors: a blank line ends one; a word without a value has none."""
    text = VECTORS.joinpath(*parts).read_text(encoding="ascii")
    for block in re.split(r"(?m)^COUNT", text, flags=re.IGNORECASE)[1:]:
        lines = [line for line in block.splitlines()[1:] if line and not line.startswith(("#", "["))]
        yield {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}


def test_hkdf_gives_the_keys_of_rfc_5869() -> None:
    cases = list(records("KDF", "rfc-5869-HKDF-SHA256.txt"))
    assert len(cases) == 3
    for case in cases:
        material, salt, info = (bytes.fromhex(case[name]) for name in ("IKM", "salt", "info"))
        assert hkdf(material, salt=salt, info=info, length=int(case["L"])).hex() == case["OKM"]


def test_aes_256_gcm_opens_what_nist_sealed_and_nothing_that_nist_spoiled() -> None:
    opened = refused = 0
    text = VECTORS.joinpath("ciphers", "AES", "GCM", "gcmDecrypt256.rsp").read_text(encoding="ascii")
    header = r"\[IVlen = 96\]\s+\[PTlen = \d+\]\s+\[AADlen = \d+\]\s+\[Taglen = 128\](.*?)(?=\[Keylen|\Z)"
    for section in re.findall(header, text, re.DOTALL):
        for block in section.strip().split("\n\n"):
            case = dict(re.findall(r"^(\w+) = ?(\w*)$", block, re.MULTILINE))
            key = AesGcmKey(bytes.fromhex(case["Key"]), SystemEntropy())
            found = key.open(bytes.fromhex(case["IV"] + case["CT"] + case["Tag"]), bytes.fromhex(case["AAD"]))
            if "FAIL" in block:
                assert found is None
                refused += 1
            else:
                assert found == bytes.fromhex(case["PT"])
                opened += 1
    assert opened + refused == 375
    assert min(opened, refused) > 100


FERNET_KEY = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="
FERNET_TOKEN = (
    "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA=="
)


class Spoiled(NamedTuple):
    why: str
    token: str


_HEAD = "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWP"
SPOILED = (
    Spoiled("incorrect mac", _HEAD + "Al1-szkFVzXTuGb4hR8AKtwcaX1YdykQUFBQUFBQUFBQQ=="),
    Spoiled("too short", _HEAD + "A=="),
    Spoiled("no multiple of the block", _HEAD + "Om73QeoCk9uGib28Xe5vz6oxq5nmxbx_v7mrfyudzUm"),
)


def test_fernet_is_that_of_its_specification() -> None:
    # github.com/fernet/spec: generate.json and verify.json.
    made_s = int(datetime.fromisoformat("1985-10-26T01:20:00-07:00").timestamp())
    fernet = Fernet(FERNET_KEY)
    assert fernet._encrypt_from_parts(b"hello", made_s, bytes(range(16))).decode() == FERNET_TOKEN
    assert fernet.decrypt(FERNET_TOKEN) == b"hello"
    # An envelope holds a token undone of base64, which has to lead back to the same one.
    assert base64.urlsafe_b64encode(base64.urlsafe_b64decode(FERNET_TOKEN)).decode() == FERNET_TOKEN


@pytest.mark.parametrize("spoiled", SPOILED, ids=lambda spoiled: spoiled.why)
def test_fernet_refuses_what_its_specification_refuses(spoiled: Spoiled) -> None:
    with pytest.raises(InvalidToken):
        Fernet(FERNET_KEY).decrypt(spoiled.token)


def test_a_passphrase_takes_600_000_rounds() -> None:
    assert PASSPHRASE_ROUNDS == 600_000
    key = RingKey("seven words of a passphrase", 0, "a salt of 16 or more")
    assert root_key(key) == passphrase_key(key.secret, b"a salt of 16 or more", rounds=600_000)
    assert root_key(RingKey("a secret")) == b"a secret"


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
