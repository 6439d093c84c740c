"""`creditctl ledger …`: proves, exports and imports a book of the live store.

These commands need only MongoDB. Those that read use the role of analysts, which cannot write.
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
from composition.exit_codes import EXIT_FAILED, failed
from composition.wiring.live_store import connect_mongo
from composition.wiring.platform import RuntimeName, make_runtime
from domain.ledger.chain import Head, is_intact
from ports.errors import DependencyUnavailable
from ports.runtime import Runtime


def expected_head(parts: tuple[int, str] | None) -> ExpectedHead | None:
    """The head that the option `--head` names."""
    return None if parts is None else ExpectedHead(*parts)


def verify_book(
    environ: Mapping[str, str], *, book: str, expected: ExpectedHead | None, as_json: bool
) -> int:
    """Verifies a whole book and prints the result. The exit code: 1 names the first wrong document."""

    async def act(runtime: Runtime, pools: MongoPools) -> int:
        journal, checkpoints = MongoJournal(pools.read_only), MongoCheckpoints(pools.read_only)
        with closing(ProgressBar("verifying", sys.stderr)) as bar:
            result = await verify(
                journal, checkpoints, book, runtime=runtime, expected=expected, progress=bar
            )
        print(_report(book, result, as_json=as_json))
        return 0 if result.problem is None else EXIT_FAILED

    return _on_mongo(environ, act)


def print_head(environ: Mapping[str, str], *, book: str, as_json: bool) -> int:
    """Prints the head of a book in the form that `--head` takes. The exit code."""

    async def act(_: Runtime, pools: MongoPools) -> int:
        document = await MongoJournal(pools.read_only).head(book)
        if document is not None and not is_intact(document):
            return failed(f"document {document.seq}: it is not what its digest was made of")
        head = Head() if document is None else document.head
        if as_json:
            print(json.dumps({"book": book, **_members(head)}, indent=2, ensure_ascii=False))
        else:
            print(f"{head.seq}:{head.digest}")
        return 0

    return _on_mongo(environ, act)


def export_book(environ: Mapping[str, str], *, book: str, out: str) -> int:
    """Writes a book as JSON lines, to a file that appears only once it is complete. The exit code."""

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
    """Imports an exported book and prints its new head, or why it was refused. The exit code."""

    async def act(runtime: Runtime, pools: MongoPools) -> int:
        await pools.learn_names()
        await create_indexes(pools.admin, CATALOG)
        await create_views(pools.admin, VIEWS)
        store: MongoDriver = pools.read_write
        with (
            opened_lines(file, sys.stdin.buffer) as (lines, register),
            closing(ProgressBar("checking", sys.stderr)) as checking,
            closing(ProgressBar("importing", sys.stderr)) as writing,
        ):
            ports = ImportPorts(runtime, MongoJournal(store), MongoCheckpoints(store), lines, register)
            result = await import_book(ports, book, expected=expected, checking=checking, writing=writing)
        if isinstance(result, ImportRefused):
            return failed(f"{result.code}: {result.detail}")
        added = f"{result.added} of {result.documents} documents new"
        print(f"{book} is at {result.head.seq}:{result.head.digest}, {added}")
        return 0

    return _on_mongo(environ, act)


def _report(book: str, result: Verification, *, as_json: bool) -> str:
    problem = result.problem
    if as_json:
        report = {
            "book": book,
            "good": problem is None,
            "head": _members(result.head),
            "documents": result.documents,
            "entries": result.entries,
            "problem": None if problem is None else {"seq": problem.seq, "detail": problem.detail},
        }
        return json.dumps(report, indent=2, ensure_ascii=False)
    if problem is not None:
        return f"BAD   {book}: document {problem.seq}: {problem.detail}"
    if result.documents == 0:
        return f"good  {book}: the book is empty"
    counts = f"{result.documents} documents, {result.entries} entries"
    return f"good  {book}: {counts}, head {result.head.seq}:{result.head.digest}"


def _members(head: Head) -> dict[str, Any]:
    recorded = datetime.fromtimestamp(head.time_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return {
        "seq": head.seq,
        "digest": head.digest,
        "recorded_at": recorded.replace("+00:00", "Z") if head.seq else None,
    }


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
        return failed(str(error))
    except BrokenPipeError:
        raise
    except OSError as error:
        return failed(f"{error.filename or 'the file'}: {error.strerror}")
