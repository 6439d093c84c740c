"""API keys: created, listed, revoked, and authenticated."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from application.call_log import traced
from application.identity.revocations import publish_revocations
from domain.audit import SYSTEM, AuditAction, AuditEvent, RequestContext, audit_event
from domain.idempotency import RememberedAnswer
from domain.identity.access import Principal, PrincipalKind
from domain.identity.api_keys import (
    DEFAULT_BOOK,
    ID_PREFIX,
    SECRET_BYTES,
    ApiKey,
    ApiKeyProblem,
    ApiKeyRejection,
    Scope,
    api_key_problems,
    check_api_key,
    digest_of,
    format_api_key,
    format_signing_secret,
    parse_api_key,
    secret_of,
)
from domain.identity.request_signing import (
    NONCE_TTL_MS,
    SignatureRejection,
    SignedRequest,
    check_signature,
)
from domain.identity.sessions import EndReason
from domain.ids import RANDOMNESS_BYTES, is_id, time_ordered_id
from ports.clock import Clock
from ports.encryption.sealing import Sealer
from ports.entropy import Entropy
from ports.errors import DependencyUnavailable
from ports.identity.api_keys import ApiKeyPage, ApiKeys, KeyAdded
from ports.identity.nonces import Nonces
from ports.identity.sessions import SessionRevocations
from ports.runtime import Runtime

BOOTSTRAP_NAME = "bootstrap"
BOOTSTRAP_KEYS_MAX = 100
"""Earlier keys of one place that a bootstrap revokes; it leaves further ones to the next."""
CACHE_AGE_MS_MAX = 5_000
CACHE_ENTRIES_MAX = 10_000
TOUCH_INTERVAL_MS = 60_000
"""Between two writes of last uses, which tell forgotten keys from used ones."""


@dataclass(frozen=True, slots=True)
class CreatedApiKey:
    """A new key with its text, which is shown only here."""

    api_key: ApiKey
    text: str = field(repr=False)
    signing_secret: str | None = field(default=None, repr=False)
    """The secret of a key whose requests have to be signed. It is shown only here, too."""


@dataclass(frozen=True, slots=True)
class InvalidApiKey:
    """A key that cannot be created like this, with every problem."""

    problems: tuple[ApiKeyProblem, ...]


class KeyRefused(Enum):
    """Why a valid key was not created."""

    SPONSOR_GONE = "sponsor_gone"
    """The sponsor is no administrator any more."""
    TOO_MANY = "too_many"
    """The sponsor has `KEYS_PER_SPONSOR_MAX` live keys."""


class ApiKeyService:
    """Creates, lists, revokes and authenticates API keys. Every method raises `DependencyUnavailable`.

    A local cache answers for a key for up to `CACHE_AGE_MS_MAX`, so that a request costs no read. The limiter
    learns of a revoked key as of a revoked session, by the id, so that other processes refuse it at once;
    where it cannot be told, they read the revocation from the key store.
    """

    def __init__(
        self,
        *,
        keys: ApiKeys,
        nonces: Nonces,
        sealer: Sealer,
        revocations: SessionRevocations,
        runtime: Runtime,
        clock: Clock,
        entropy: Entropy,
        cache_entries_max: int = CACHE_ENTRIES_MAX,
    ) -> None:
        self._keys = keys
        self._nonces = nonces
        self._sealer = sealer
        self._revocations = revocations
        self._runtime = runtime
        self._clock = clock
        self._entropy = entropy
        self._cache_entries_max = cache_entries_max
        self._cache: OrderedDict[str, tuple[ApiKey, float]] = OrderedDict()
        self._used_ms: dict[str, int] = {}
        self._touched_s = runtime.monotonic()

    @traced
    async def create(
        self,
        *,
        name: str,
        scopes: frozenset[Scope],
        book: str = DEFAULT_BOOK,
        expires_ms: int | None = None,
        require_signature: bool = False,
        sponsor_id: str | None = None,
        made_for: str | None = None,
        context: RequestContext,
        answer: Callable[[CreatedApiKey], RememberedAnswer | None] | None = None,
    ) -> CreatedApiKey | InvalidApiKey | KeyRefused:
        """Creates a key for one book, or says why not.

        `expires_ms` is in milliseconds since the epoch. With `require_signature`, every request of the key
        has to be signed (RFC 9421). `sponsor_id` is the user whose end also ends the key; `made_for` is the
        place of a bootstrap key. The answer that `answer` makes is stored with the key, and with it the call
        raises `AlreadyAnswered` where a request with the same idempotency key came first.
        """
        now_ms = self._clock.now_ms()
        problems = api_key_problems(name=name, scopes=scopes, book=book, expires_ms=expires_ms, now_ms=now_ms)
        if problems:
            return InvalidApiKey(problems)
        secret = secret_of(self._entropy.token(SECRET_BYTES))
        key_id = time_ordered_id(ID_PREFIX, now_ms, self._entropy.token(RANDOMNESS_BYTES))
        signing_secret = sealed = None
        if require_signature:
            signing_secret = format_signing_secret(secret_of(self._entropy.token(SECRET_BYTES)))
            sealed = self._sealer.seal(signing_secret.encode(), key_id.encode())
        key = ApiKey(
            id=key_id,
            name=name,
            scopes=scopes,
            book=book,
            secret_digest=digest_of(secret),
            created_ms=now_ms,
            created_by=context.actor,
            sponsor_id=sponsor_id,
            made_for=made_for,
            expires_ms=expires_ms,
            signing_secret=sealed,
        )
        created = CreatedApiKey(
            api_key=key, text=format_api_key(key.id, secret), signing_secret=signing_secret
        )
        event = self._event(context, AuditAction.API_KEY_CREATED, key.id)
        match await self._keys.add(key, event, answer=None if answer is None else answer(created)):
            case KeyAdded.SPONSOR_GONE:
                return KeyRefused.SPONSOR_GONE
            case KeyAdded.TOO_MANY:
                return KeyRefused.TOO_MANY
            case KeyAdded.ADDED:
                return created

    async def bootstrap(
        self, place: str, context: RequestContext, *, previous_text: str | None = None
    ) -> CreatedApiKey:
        """Creates an administrator's key for a place, and revokes the bootstrap keys that it replaces.

        Replaced are the keys made for the same place, and the bootstrap key whose text is `previous_text`.
        They are revoked, each with its event, after the new key is stored; a process that dies in between
        leaves them to the next call.
        """
        created = await self.create(
            name=BOOTSTRAP_NAME, scopes=frozenset({Scope.ADMIN}), made_for=place, context=context
        )
        if not isinstance(created, CreatedApiKey):
            raise TypeError(f"the bootstrap key was refused: {created}")
        earlier = set(await self._keys.living_made_for(place, limit=BOOTSTRAP_KEYS_MAX))
        if previous_text is not None and (key := await self._bootstrap_key_of(previous_text)) is not None:
            earlier.add(key.id)
        for key_id in sorted(earlier - {created.api_key.id}):
            await self.revoke(key_id, context)
        return created

    async def _bootstrap_key_of(self, text: str) -> ApiKey | None:
        presented = parse_api_key(text)
        if presented is None:
            return None
        key = await self._keys.get(presented.id)
        if check_api_key(key, presented, self._clock.now_ms()) is not None:
            return None
        # Earlier releases stored no place with their bootstrap keys.
        is_one = key is not None and key.name == BOOTSTRAP_NAME and key.created_by == SYSTEM
        return key if is_one else None

    @traced
    async def list_page(self, *, limit: int, cursor: str | None = None) -> ApiKeyPage:
        """A page of at most `limit` keys, newest first, with revoked ones, from `cursor` on."""
        return await self._keys.list_page(limit=limit, cursor=cursor)

    @traced
    async def revoke(self, key_id: str, context: RequestContext) -> bool:
        """Revokes a key for every process. False when there is none; revoking it again changes nothing."""
        if not is_id(key_id) or await self._keys.get(key_id) is None:
            return False
        event = self._event(context, AuditAction.API_KEY_REVOKED, key_id, reason=EndReason.REVOKED.value)

        async def revoke() -> None:
            await self._keys.revoke(key_id, now_ms=event.at_ms, event=event)
            self._cache.pop(key_id, None)
            await publish_revocations(self._revocations, {key_id: 2 * CACHE_AGE_MS_MAX})

        await self._runtime.shielded(revoke, name="revoke-api-key")
        return True

    async def authenticate(
        self, text: str, signed: Callable[[], SignedRequest | SignatureRejection]
    ) -> Principal | ApiKeyRejection | SignatureRejection:
        """The principal of a key, or why it is refused. Records the use of the key.

        `signed` gives the request with its signature, and is called only for a key whose requests have to
        be signed.
        """
        presented = parse_api_key(text)
        if presented is None:
            return ApiKeyRejection.MALFORMED
        key = await self._find(presented.id)
        now_ms = self._clock.now_ms()
        rejection = check_api_key(key, presented, now_ms)
        if key is None or rejection is not None:
            return rejection or ApiKeyRejection.UNKNOWN
        if key.signing_secret is not None:
            unsigned = await self._check_signature(key.id, key.signing_secret, signed(), now_ms)
            if unsigned is not None:
                return unsigned
        self._record_use(key.id, now_ms)
        return Principal(
            kind=PrincipalKind.API_KEY,
            id=key.id,
            scopes=key.scopes,
            book=key.book,
            key_sponsor_id=key.sponsor_id,
            signs=key.signing_secret is not None,
        )

    async def _check_signature(
        self, key_id: str, sealed: bytes, signed: SignedRequest | SignatureRejection, now_ms: int
    ) -> SignatureRejection | None:
        if isinstance(signed, SignatureRejection):
            return signed
        signature, request = signed.signature, signed.request
        secret = self._sealer.open(sealed, key_id.encode())
        if secret is None:
            raise DependencyUnavailable("encryption_key", f"the signing secret of {key_id} is of another one")
        rejection = check_signature(signature, request, key_id=key_id, secret=secret, now_ms=now_ms)
        if rejection is not None:
            return rejection
        # Last, so that only the holder of the key can fill the store of nonces.
        is_first = await self._nonces.first_use(key_id, signature.nonce, ttl_ms=NONCE_TTL_MS)
        return None if is_first else SignatureRejection.REPLAYED

    async def flush_last_used(self) -> None:
        """Writes the uses recorded since the last write, at the latest when the service stops."""
        used_ms, self._used_ms = self._used_ms, {}
        if used_ms:
            await self._keys.touch(used_ms)

    async def _find(self, key_id: str) -> ApiKey | None:
        read_s = self._runtime.monotonic()
        cached = self._cache.get(key_id)
        if cached is not None and read_s - cached[1] < CACHE_AGE_MS_MAX / 1000:
            self._cache.move_to_end(key_id)
            return cached[0]
        key = await self._keys.get(key_id)
        if key is None:
            # Not cached, so that made-up keys cannot evict real ones.
            self._cache.pop(key_id, None)
            return None
        # As old as the start of the read: a revocation may have happened during it.
        self._cache[key_id] = (key, read_s)
        self._cache.move_to_end(key_id)
        if len(self._cache) > self._cache_entries_max:
            self._cache.popitem(last=False)
        return key

    def _record_use(self, key_id: str, now_ms: int) -> None:
        if key_id in self._used_ms or len(self._used_ms) < self._cache_entries_max:
            self._used_ms[key_id] = now_ms
        now_s = self._runtime.monotonic()
        if now_s - self._touched_s >= TOUCH_INTERVAL_MS / 1000:
            self._touched_s = now_s
            self._runtime.start(self._flush_quietly, name="touch-api-keys")

    async def _flush_quietly(self) -> None:
        try:
            await self.flush_last_used()
        except DependencyUnavailable:
            # A hint for operators: the next use records the key again.
            return

    def _event(self, context: RequestContext, action: AuditAction, key_id: str, **detail: str) -> AuditEvent:
        return audit_event(
            context,
            action,
            f"api_key:{key_id}",
            now_ms=self._clock.now_ms(),
            randomness=self._entropy.token(RANDOMNESS_BYTES),
            detail=detail,
        )
