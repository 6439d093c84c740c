"""Commands that act on the live store without a server: the first administrator, service keys."""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from adapters.memory.metrics import MemoryMetrics
from adapters.runtime.system import SystemClock, SystemEntropy
from application.identity.api_keys import InvalidApiKey, KeyRefused
from application.identity.users import InvalidUser, Taken
from application.ledger.committed import CommittedBatch
from composition.config.load import load
from composition.config.settings import StoreName
from composition.hosting.process import RuntimeName, make_runtime
from composition.hosting.service import stores_of
from composition.wiring.build import Platform, UseCases, build_use_cases
from domain.audit import RequestContext
from domain.identity.api_keys import ApiKey, Scope
from domain.identity.users import Role
from ports.errors import DependencyUnavailable

EXIT_FAILED = 1
EXIT_USAGE = 2
PAGE = 200


def operator() -> RequestContext:
    """`creditctl:` and the name by which the operating system knows who runs it."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "unknown"
    return RequestContext(request_id="creditctl", actor=f"creditctl:{name}")


def read_password(file: Path | None) -> str:
    """From the file, the terminal, or standard input; without its line end."""
    if file is not None:
        return file.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    if sys.stdin.isatty():
        return getpass.getpass("password: ")
    return sys.stdin.readline().removesuffix("\n").removesuffix("\r")


def create_user(environ: Mapping[str, str], *, username: str, email: str, password: str, role: str) -> int:
    """Prints the new user's id."""

    async def act(use_cases: UseCases) -> int:
        made = await use_cases.users.create(
            username=username, email=email, password=password, role=Role(role), context=operator()
        )
        match made:
            case InvalidUser(problems):
                return refused(*(f"{problem.field}: {problem.value}" for problem in problems))
            case Taken():
                return refused(made.value)
            case _:
                print(made.id)
                return 0

    return on_live_store(environ, act)


def create_api_key(
    environ: Mapping[str, str],
    *,
    name: str,
    scopes: Sequence[str],
    book: str,
    expires_in_ms: int | None = None,
    require_signature: bool = False,
) -> int:
    """Prints the key, and in a second line its signing secret: never shown again."""
    known = {scope.value: scope for scope in Scope}
    unknown = [text for text in scopes if text not in known]
    if unknown:
        print(f"no such scope: {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return EXIT_USAGE

    async def act(use_cases: UseCases) -> int:
        chosen = frozenset(known[text] for text in scopes)
        made = await use_cases.api_keys.create(
            name=name,
            scopes=chosen,
            book=book,
            expires_ms=None if expires_in_ms is None else SystemClock().now_ms() + expires_in_ms,
            require_signature=require_signature,
            context=operator(),
        )
        if isinstance(made, InvalidApiKey):
            return refused(*(f"{problem.field}: {problem.value}" for problem in made.problems))
        if isinstance(made, KeyRefused):
            raise TypeError("a key that nobody sponsors was refused")
        print(made.text)
        if made.signing_secret is not None:
            print(made.signing_secret)
        return 0

    return on_live_store(environ, act)


def list_api_keys(environ: Mapping[str, str]) -> int:
    """One line a key: id, state, book, scopes, created, name."""

    async def act(use_cases: UseCases) -> int:
        cursor = None
        while True:
            page = await use_cases.api_keys.list_page(limit=PAGE, cursor=cursor)
            for key in page.items:
                print(_line(key, SystemClock().now_ms()))
            cursor = page.next_cursor
            if cursor is None:
                return 0

    return on_live_store(environ, act)


def revoke_api_key(environ: Mapping[str, str], key_id: str) -> int:
    """Every process refuses the key from now on."""

    async def act(use_cases: UseCases) -> int:
        return 0 if await use_cases.api_keys.revoke(key_id, operator()) else refused("there is no such key")

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


def refused(*reasons: str) -> int:
    """Says why, and gives the exit code."""
    for reason in reasons:
        print(f"creditctl: {reason}", file=sys.stderr)
    return EXIT_FAILED


def on_live_store(environ: Mapping[str, str], act: Callable[[UseCases], Awaitable[int]]) -> int:
    """Opens the store as a server would, and closes it again; `act` gives the exit code."""
    settings, secrets = load(environ, StoreName.LIVE)

    async def main() -> int:
        platform = Platform(
            runtime=make_runtime(RuntimeName.ASYNCIO),
            clock=SystemClock(),
            entropy=SystemEntropy(),
            metrics=MemoryMetrics(),
        )

        async def unheard(_: CommittedBatch) -> None:
            return

        async with platform.runtime.running():
            stores = await stores_of(StoreName.LIVE, platform, settings, secrets)
            try:
                await stores.start()
                return await act(build_use_cases(platform, settings, secrets, stores, announce=unheard))
            finally:
                await stores.stop()

    try:
        return asyncio.run(main())
    except DependencyUnavailable as error:
        return refused(str(error))
