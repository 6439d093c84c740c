"""`creditctl ledger …`: a book is proved, taken out of the live store, and brought into one.

These need MongoDB only. What reads does so as the analysts' user, who cannot write.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from adapters.mongo.catalog import CATALOG, VIEWS
from adapters.mongo.driver.interface import MongoDriver
from adapters.mongo.indexes import create_indexes
from adapters.mongo.ledger.checkpoints import MongoCheckpoints
from adapters.mongo.ledger.journal import MongoJournal
from adapters.mongo.pools import MongoPools
from adapters.mongo.views import create_views
from application.ledger.archive import BrokenBook, ImportPorts, ImportRefused, exported, import_book
from application.ledger.prover import ExpectedHead
from application.ledger.verification import Verification, verify
from composition.commands.ledger_files import opened_lines, written_whole
from composition.commands.progress import ProgressBar
from composition.config.load import load
from composition.config.settings import StoreName
from composition.hosting.process import RuntimeName, make_runtime
from composition.wiring.live_store import connect_mongo
from domain.ledger.chain import Head, is_intact
from ports.errors import DependencyUnavailable
from ports.runtime import Runtime

EXIT_FAILED = 1


def expected_head(parts: tuple[int, str] | None) -> ExpectedHead | None:
    return None if parts is None else ExpectedHead(*parts)


def verify_book(
    environ: Mapping[str, str], *, book: str, expected: ExpectedHead | None, as_json: bool
) -> int:
    """0 when all of it is good; else 1, and the first wrong number is named."""

    async def act(runtime: Runtime, pools: MongoPools) -> int:
        journal, checkpoints = MongoJournal(pools.read_only), MongoCheckpoints(pools.read_only)
        with closing(ProgressBar("verifying", sys.stderr)) as bar:
            found = await verify(journal, checkpoints, book, runtime=runtime, expected=expected, progress=bar)
        print(_report(book, found, as_json=as_json))
        return 0 if found.problem is None else EXIT_FAILED

    return _on_mongo(environ, act)


def print_head(environ: Mapping[str, str], *, book: str, as_json: bool) -> int:
    """What `--head` of other commands takes."""

    async def act(_: Runtime, pools: MongoPools) -> int:
        document = await MongoJournal(pools.read_only).head(book)
        if document is not None and not is_intact(document):
            return _failed(f"document {document.seq}: it is not what its digest was made of")
        head = Head() if document is None else document.head
        if as_json:
            print(json.dumps({"book": book, **_members(head)}, indent=2, ensure_ascii=False))
        else:
            print(f"{head.seq}:{head.digest}")
        return 0

    return _on_mongo(environ, act)


def export_book(environ: Mapping[str, str], *, book: str, out: str) -> int:
    """JSON lines; a file appears only when all of them are in it."""

    async def act(runtime: Runtime, pools: MongoPools) -> int:
        with (
            closing(ProgressBar("exporting", sys.stderr)) as bar,
            written_whole(out, sys.stdout.buffer) as file,
        ):
            journal = MongoJournal(pools.read_only)
            async for line in exported(journal, book, runtime=runtime, progress=bar):
                file.write(line)
        return 0

    return _on_mongo(environ, act)


def import_lines(environ: Mapping[str, str], *, book: str, file: str, expected: ExpectedHead | None) -> int:
    """Prints the head that the book then has; refuses what does not fit, and says why."""

    async def act(runtime: Runtime, pools: MongoPools) -> int:
        await create_indexes(pools.admin, CATALOG)
        await create_views(pools.admin, VIEWS)
        store: MongoDriver = pools.read_write
        with (
            opened_lines(file, sys.stdin.buffer) as (lines, register),
            closing(ProgressBar("checking", sys.stderr)) as checking,
            closing(ProgressBar("importing", sys.stderr)) as writing,
        ):
            ports = ImportPorts(runtime, MongoJournal(store), MongoCheckpoints(store), lines, register)
            came = await import_book(ports, book, expected=expected, checking=checking, writing=writing)
        if isinstance(came, ImportRefused):
            return _failed(f"{came.code}: {came.detail}")
        print(
            f"{book} is at {came.head.seq}:{came.head.digest}, {came.added} of {came.documents} documents new"
        )
        return 0

    return _on_mongo(environ, act)


def _report(book: str, found: Verification, *, as_json: bool) -> str:
    problem = found.problem
    if as_json:
        report = {
            "book": book,
            "good": problem is None,
            "head": _members(found.head),
            "documents": found.documents,
            "entries": found.entries,
            "problem": None if problem is None else {"seq": problem.seq, "detail": problem.detail},
        }
        return json.dumps(report, indent=2, ensure_ascii=False)
    if problem is not None:
        return f"BAD   {book}: document {problem.seq}: {problem.detail}"
    if found.documents == 0:
        return f"good  {book}: the book is empty"
    counts = f"{found.documents} documents, {found.entries} entries"
    return f"good  {book}: {counts}, head {found.head.seq}:{found.head.digest}"


def _members(head: Head) -> dict[str, Any]:
    recorded = datetime.fromtimestamp(head.time_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return {
        "seq": head.seq,
        "digest": head.digest,
        "recorded_at": recorded.replace("+00:00", "Z") if head.seq else None,
    }


def _failed(reason: str) -> int:
    print(f"creditctl: {reason}", file=sys.stderr)
    return EXIT_FAILED


def _on_mongo(environ: Mapping[str, str], act: Callable[[Runtime, MongoPools], Awaitable[int]]) -> int:
    settings, secrets = load(environ, StoreName.LIVE)

    async def main() -> int:
        runtime = make_runtime(RuntimeName.ASYNCIO)
        async with runtime.running():
            pools = await connect_mongo(runtime, settings, secrets)
            try:
                return await act(runtime, pools)
            finally:
                await pools.close()

    try:
        return asyncio.run(main())
    except (DependencyUnavailable, BrokenBook) as error:
        return _failed(str(error))
    except BrokenPipeError:
        raise
    except OSError as error:
        return _failed(f"{error.filename or 'the file'}: {error.strerror}")
