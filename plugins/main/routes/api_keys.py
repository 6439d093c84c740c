"""Service keys, for administrators."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from application.identity.api_keys import CreatedApiKey, InvalidApiKey, KeyRefused
from credit_system import (
    ADMIN,
    DEFAULT_BOOK,
    FORBIDDEN,
    NOT_FOUND,
    Answer,
    Body,
    Call,
    ConnectionAPI,
    Cursor,
    Idempotency,
    Identifier,
    ListQuery,
    Moment,
    Problem,
    Remember,
    Route,
    Scope,
    Time,
    cursor_form,
    milliseconds,
    once,
    rfc3339,
    time_ordered_form,
    told_as,
)
from domain.identity.api_keys import ID_PREFIX, KEYS_PER_SPONSOR_MAX, NAME_CHARACTERS_MAX, ApiKey
from plugins.idempotency import KEY_CONFLICT
from plugins.main.happenings import note
from plugins.main.routes.problems import foreign_cursor, validation_failed


class NewApiKey(Body, frozen=True, kw_only=True):
    """What the key may do, and in which book."""

    name: Annotated[
        str, Meta(max_length=256), told_as("Printable", minLength=1, maxLength=NAME_CHARACTERS_MAX)
    ]
    scopes: Annotated[list[Scope], Meta(max_length=16), told_as(minItems=1)]
    book: Identifier = DEFAULT_BOOK
    expires_at: Annotated[Time | None, Meta(description="In the future")] = None
    require_signature: bool = False


class ApiKeyView(Body, frozen=True, kw_only=True):
    """A key. `key` itself is shown once: in the answer to its making; and so is `signing_secret`, with which
    the key's requests have to be signed (RFC 9421) where that is required."""

    id: str
    key: str | UnsetType = UNSET
    signing_secret: str | UnsetType = UNSET
    name: str
    scopes: list[str]
    book: str
    require_signature: bool
    created_at: Moment
    created_by: str
    expires_at: Moment | None
    revoked_at: Moment | None
    last_used_at: Moment | None


class ApiKeysQuery(ListQuery, frozen=True, kw_only=True):
    cursor: Annotated[Cursor, cursor_form(time_ordered_form(ID_PREFIX))] | None = None


class ApiKeyPage(Body, frozen=True, kw_only=True):
    items: list[ApiKeyView]
    next_cursor: str | None


_SIGNING = (
    "With `require_signature` the answer holds a `signing_secret` as well, shown once, and each request of "
    "the key needs `Signature-Input` and `Signature` (RFC 9421, `hmac-sha256`), and a covered "
    "`Content-Digest` (RFC 9530) where it has a body; else it is 401 `invalid_signature`."
)
TOO_MANY_KEYS = Problem(
    409,
    "too_many_api_keys",
    f"{KEYS_PER_SPONSOR_MAX} keys live in the caller's name: revoke one, or give keys an `expires_at`.",
)


def api_key_routes(api: ConnectionAPI, idempotency: Idempotency) -> tuple[Route, ...]:
    async def create(call: Call[NewApiKey, None]) -> Answer | Problem:
        async def make(remember: Remember) -> Answer | Problem:
            return await _create(api, call, remember)

        return await once(idempotency, call, "create_api_key", make)

    async def list_keys(call: Call[None, ApiKeysQuery]) -> Answer | Problem:
        refused = foreign_cursor(ID_PREFIX, call.query.cursor)
        if refused is not None:
            return refused
        page = await api.api_keys.list_page(limit=call.query.limit, cursor=call.query.cursor)
        items = [_view(key) for key in page.items]
        return Answer(200, ApiKeyPage(items=items, next_cursor=page.next_cursor))

    async def revoke(call: Call[None, None]) -> Answer | Problem:
        key_id = call.path["key_id"]
        if not await api.api_keys.revoke(key_id, call.context):
            return NOT_FOUND
        note("service key revoked", call.context, key_id=key_id)
        return Answer(204)

    tags = ("api keys",)
    return (
        Route("POST", "/api-keys", "create_api_key", ADMIN, create, body=NewApiKey, answer=ApiKeyView,
              success=201, problems=(KEY_CONFLICT, TOO_MANY_KEYS), tags=tags, summary="A new key, shown once",
              description=_SIGNING),
        Route("GET", "/api-keys", "list_api_keys", ADMIN, list_keys, query=ApiKeysQuery, answer=ApiKeyPage,
              tags=tags, summary="All keys, newest first"),
        Route("DELETE", "/api-keys/<key_id>", "revoke_api_key", ADMIN, revoke, success=204,
              problems=(NOT_FOUND,), tags=tags,
              summary="The key is refused from now on"),
    )  # fmt: skip


async def _create(api: ConnectionAPI, call: Call[NewApiKey, None], remember: Remember) -> Answer | Problem:
    body = call.body
    created = await api.api_keys.create(
        name=body.name,
        scopes=frozenset(body.scopes),
        book=body.book,
        expires_ms=None if body.expires_at is None else milliseconds(body.expires_at),
        require_signature=body.require_signature,
        sponsor_id=call.caller.sponsor_id,
        context=call.context,
        answer=lambda key: remember.answer(201, _shown_once(key)),
    )
    if isinstance(created, InvalidApiKey):
        return validation_failed(created.problems)
    if isinstance(created, KeyRefused):
        # Or the rights that let this request in were taken away meanwhile.
        return TOO_MANY_KEYS if created is KeyRefused.TOO_MANY else FORBIDDEN
    note("service key made", call.context, key_id=created.api_key.id, book=created.api_key.book)
    return Answer(201, _shown_once(created))


def _shown_once(created: CreatedApiKey) -> ApiKeyView:
    return _view(created.api_key, created.text, created.signing_secret or UNSET)


def _view(key: ApiKey, text: str | UnsetType = UNSET, signing_secret: str | UnsetType = UNSET) -> ApiKeyView:
    return ApiKeyView(
        id=key.id,
        key=text,
        signing_secret=signing_secret,
        name=key.name,
        scopes=sorted(scope.value for scope in key.scopes),
        book=key.book,
        require_signature=key.signing_secret is not None,
        created_at=rfc3339(key.created_ms),
        created_by=key.created_by,
        expires_at=_time(key.expires_ms),
        revoked_at=_time(key.revoked_ms),
        last_used_at=_time(key.last_used_ms),
    )


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else rfc3339(at_ms)
