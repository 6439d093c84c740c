"""Tokens that were believed once are believed from memory, and never longer than they would be without."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.crypto.token_keys import TokenKeyring
from adapters.runtime.system import SystemEntropy
from application.identity.tokens import ForeignToken, TokenService, VerifiedToken
from domain.encryption.keyring import Ring, RingKey
from domain.identity.sessions import Session, SessionPolicy, open_session
from domain.identity.tokens import TokenKind, TokenRejection
from domain.identity.users import Role, User
from ports.identity.token_keys import TokenKeys, TokenKeySet
from ports.identity.token_signer import SignedToken, TokenSigner
from tests.application.identity.use_cases import RING, START_MS, TurnedClock

DEVICE = "device-0123456789"
OTHER_RING = (RingKey("quite another root key"),)


class CountedSigner:
    def __init__(self, signer: TokenSigner) -> None:
        self._signer = signer
        self.checks = 0

    def sign(self, header: Mapping[str, object], claims: Mapping[str, object]) -> str:
        return self._signer.sign(header, claims)

    def verify(self, token: str) -> SignedToken | None:
        self.checks += 1
        return self._signer.verify(token)


class CountedKeys:
    """A ring that can be replaced, and counts what is checked with it and how often it is looked for."""

    def __init__(self, ring: Ring, clock: TurnedClock) -> None:
        self._clock = clock
        self.coming: Ring | None = None
        self.looks = 0
        self.take(ring)

    def take(self, ring: Ring) -> None:
        keys = TokenKeyring(ring, clock=self._clock, refresh_lifetime_ms=1).current()
        self.signer = CountedSigner(keys.signer)
        self._keys = TokenKeySet(self.signer, keys.device_keys, keys.refresh_keys)

    def current(self) -> TokenKeySet:
        return self._keys

    def reload(self) -> bool:
        self.looks += 1
        if self.coming is None:
            return False
        self.take(self.coming)
        return True


class Tokens:
    def __init__(self, *, cached_max: int = 100) -> None:
        self.clock = TurnedClock()
        self.keys = CountedKeys(RING, self.clock)
        self.service = self.service_with(self.keys, cached_max)

    def service_with(self, keys: TokenKeys, cached_max: int = 100) -> TokenService:
        return TokenService(keys=keys, clock=self.clock, entropy=SystemEntropy(), cached_max=cached_max)

    def issued(self, kind: TokenKind = TokenKind.ACCESS, service: TokenService | None = None) -> str:
        return (service or self.service).issue(kind, a_user(), a_session()).text

    def shown(self, token: str, device_id: str = DEVICE) -> VerifiedToken | ForeignToken | TokenRejection:
        return self.service.verify_access(token, device_id=device_id)


def a_session() -> Session:
    return open_session(
        id="ses_1",
        user_id="usr_1",
        device_id=DEVICE,
        credential_version=1,
        address="",
        user_agent="",
        now_ms=START_MS,
        policy=SessionPolicy(),
    )


def a_user() -> User:
    return User(
        id="usr_1",
        username="ada",
        email="ada@example.com",
        password_hash="",
        roles=frozenset({Role.USER}),
        created_ms=START_MS,
    )


def test_a_client_s_next_request_is_not_checked_again() -> None:
    tokens = Tokens()
    token = tokens.issued()
    first = tokens.shown(token)
    assert [tokens.shown(token) for _ in range(50)] == [first] * 50
    assert tokens.keys.signer.checks == 1


def test_what_was_believed_still_expires_and_is_still_bound_to_its_device_and_use() -> None:
    tokens = Tokens()
    access, socket = tokens.issued(), tokens.issued(TokenKind.WEBSOCKET)
    assert isinstance(tokens.shown(access), VerifiedToken)
    assert isinstance(tokens.service.verify_socket(socket, device_id=None), VerifiedToken)
    assert isinstance(tokens.shown(access, "device-of-eve-0001"), ForeignToken)
    assert tokens.shown(socket) is TokenRejection.WRONG_TYPE
    tokens.clock.ms += 300_000
    assert tokens.shown(access) is TokenRejection.EXPIRED
    assert tokens.service.verify_socket(socket, device_id=None) is TokenRejection.EXPIRED


def test_a_device_that_was_fine_vouches_for_no_other() -> None:
    tokens = Tokens()
    token = tokens.issued()
    for device_id in (DEVICE, "device-9876543210", DEVICE, "", "\udcff"):
        shown = tokens.shown(token, device_id)
        assert isinstance(shown, VerifiedToken if device_id == DEVICE else ForeignToken), device_id
    assert isinstance(tokens.service.verify_access(token, device_id=None), ForeignToken)
    assert tokens.shown(token) == tokens.shown(token)


def test_another_ring_is_asked_anew() -> None:
    tokens = Tokens()
    token = tokens.issued()
    assert isinstance(tokens.shown(token), VerifiedToken)
    tokens.keys.take(OTHER_RING)
    assert tokens.shown(token) is TokenRejection.BAD_SIGNATURE
    tokens.keys.take((*OTHER_RING, RingKey(RING[0].secret, START_MS)))
    assert isinstance(tokens.shown(token), VerifiedToken)


def test_only_genuine_tokens_are_remembered_and_not_too_many() -> None:
    tokens = Tokens(cached_max=3)
    mine = tokens.issued()
    assert isinstance(tokens.shown(mine), VerifiedToken)
    for number in range(100):
        assert tokens.shown(f"{mine[:-4]}{number:04}") is TokenRejection.BAD_SIGNATURE
    assert list(tokens.service._cache) == [mine]
    for _ in range(5):
        assert isinstance(tokens.shown(tokens.issued()), VerifiedToken)
    assert len(tokens.service._cache) == 3
    assert isinstance(tokens.shown(mine), VerifiedToken)


def test_a_token_of_a_ring_that_is_not_known_yet_is_looked_for_once_and_cache() -> None:
    tokens = Tokens()
    elsewhere = tokens.service_with(CountedKeys(OTHER_RING, tokens.clock))
    token = tokens.issued(service=elsewhere)
    assert tokens.shown(token) is TokenRejection.BAD_SIGNATURE
    tokens.keys.coming = (*RING, RingKey(OTHER_RING[0].secret, START_MS))
    assert isinstance(tokens.shown(token), VerifiedToken)
    assert tokens.keys.looks == 2
    assert isinstance(tokens.shown(token), VerifiedToken)
    assert tokens.keys.looks == 2


def test_a_good_token_and_one_that_is_over_send_nobody_to_look() -> None:
    tokens = Tokens()
    token = tokens.issued()
    tokens.shown(token)
    tokens.clock.ms += 300_000
    assert tokens.shown(token) is TokenRejection.EXPIRED
    assert tokens.keys.looks == 0
