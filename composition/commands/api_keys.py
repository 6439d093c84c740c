"""`creditctl api-key …`: API keys of the live store."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from adapters.runtime.system import SystemClock
from application.identity.api_keys import InvalidApiKey, KeyRefused
from composition.commands.live_store import PAGE_ITEMS, on_live_store, operator
from composition.exit_codes import EXIT_USAGE, failed
from composition.wiring.use_cases import UseCases
from domain.identity.api_keys import ApiKey, Scope


def create_api_key(
    environ: Mapping[str, str],
    *,
    name: str,
    scopes: Sequence[str],
    book: str,
    expires_in_ms: int | None = None,
    require_signature: bool = False,
) -> int:
    """Creates a key and prints it, then its signing secret, if any, for the only time. The exit code."""
    known = {scope.value: scope for scope in Scope}
    unknown = [text for text in scopes if text not in known]
    if unknown:
        print(f"no such scope: {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return EXIT_USAGE

    async def act(use_cases: UseCases) -> int:
        chosen = frozenset(known[text] for text in scopes)
        created = await use_cases.api_keys.create(
            name=name,
            scopes=chosen,
            book=book,
            expires_ms=None if expires_in_ms is None else SystemClock().now_ms() + expires_in_ms,
            require_signature=require_signature,
            context=operator(),
        )
        if isinstance(created, InvalidApiKey):
            return failed(*(f"{problem.field}: {problem.value}" for problem in created.problems))
        if isinstance(created, KeyRefused):
            raise TypeError("a key without a sponsor was refused")
        print(created.text)
        if created.signing_secret is not None:
            print(created.signing_secret)
        return 0

    return on_live_store(environ, act)


def list_api_keys(environ: Mapping[str, str]) -> int:
    """Prints one line for each key: id, state, book, scopes, date of creation, name. The exit code."""

    async def act(use_cases: UseCases) -> int:
        cursor = None
        while True:
            page = await use_cases.api_keys.list_page(limit=PAGE_ITEMS, cursor=cursor)
            for key in page.items:
                print(_line(key, SystemClock().now_ms()))
            cursor = page.next_cursor
            if cursor is None:
                return 0

    return on_live_store(environ, act)


def revoke_api_key(environ: Mapping[str, str], key_id: str) -> int:
    """Revokes a key, which every process refuses from now on. The exit code."""

    async def act(use_cases: UseCases) -> int:
        return 0 if await use_cases.api_keys.revoke(key_id, operator()) else failed("there is no such key")

    return on_live_store(environ, act)


def _line(key: ApiKey, now_ms: int) -> str:
    if key.revoked_ms is not None:
        state = "revoked"
    elif key.expires_ms is not None and key.expires_ms <= now_ms:
        state = "expired"
    else:
        state = "active"
    created = datetime.fromtimestamp(key.created_ms / 1000, UTC).date().isoformat()
    scopes = ",".join(sorted(scope.value for scope in key.scopes))
    return f"{key.id} {state:<7} {key.book} {scopes} {created} {key.name}"
