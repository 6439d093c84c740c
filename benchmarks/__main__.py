"""`python -m benchmarks`: measures every row beside its peers, prints the table and writes it down."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks import against, cipher, growth, guard, http, ledger, login, machine, startup
from benchmarks.contenders import ContenderFailed
from benchmarks.drawing import svg
from benchmarks.installation import PROJECT, folder_with_medici, python_with_peers
from benchmarks.report import Run, markdown, plain
from benchmarks.rows import Bench, Group, Row
from tests.servers.mongod import MongodServer
from tests.servers.mongod_node import find_mongod
from tests.servers.redis_server import RedisServer, find_redis_server
from tests.servers.secret_files import write_secrets

GROUPS: dict[str, Group] = {
    ledger.GROUP: ledger.rows,
    machine.GROUP: machine.rows,
    growth.GROUP: growth.rows,
    guard.GROUP: guard.rows,
    http.GROUP: http.rows,
    cipher.GROUP: cipher.rows,
    login.GROUP: login.rows,
    startup.GROUP: startup.rows,
}
NEEDS_SERVERS = frozenset({ledger.GROUP, growth.GROUP, guard.GROUP, http.GROUP, login.GROUP})
RESULTS = PROJECT / "docs" / "benchmarks"


def main() -> int:
    arguments = _arguments()
    groups = GROUPS if arguments.against is None else against.groups(arguments.against)
    names = [name for name in arguments.only or groups if name in groups]
    # SIGTERM unwinds the stack as Ctrl-C does, so that servers and measured processes end.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    notes: list[str] = []
    rows: list[Row] = []
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="credit-bench-")))
        bench = _bench(arguments, directory, notes)
        if NEEDS_SERVERS.intersection(names):
            for server in (bench.mongod, bench.redis):
                stack.callback(server.close)
                server.start()
            write_secrets(bench.secrets, bench.mongod, bench.redis)
        for name in names:
            print(f"{time.strftime('%X')} measuring {name} …", file=sys.stderr, flush=True)
            try:
                rows += groups[name](bench)
            except ContenderFailed as failure:
                # The other groups took minutes: they are worth keeping.
                print(failure, file=sys.stderr, flush=True)
                notes.append(f"{name} was not measured: {str(failure).splitlines()[0]}")
    run = Run(arguments.rounds, arguments.seconds, _commit(), _servers(), tuple(notes))
    print(plain(rows, run))
    if arguments.write or not (arguments.only or arguments.against):
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / "results.md").write_text(markdown(rows, run), encoding="utf-8")
        (RESULTS / "results.svg").write_text(svg(rows), encoding="utf-8")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=list(GROUPS), help="one group of rows; may be repeated"
    )
    parser.add_argument(
        "--against", metavar="REV", help="our own rows beside those of an earlier commit, without peers"
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each side (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a round (default: %(default)s)")
    parser.add_argument(
        "--full",
        action="store_true",
        help="grow the ledger to 10^6 accounts and 10^7 entries, not to a tenth",
    )
    parser.add_argument(
        "--write", action="store_true", help="write docs/benchmarks although only some rows were measured"
    )
    return parser.parse_args()


def _bench(arguments: argparse.Namespace, directory: Path, notes: list[str]) -> Bench:
    return Bench(
        mongod=MongodServer(directory / "mongod"),
        redis=RedisServer(directory / "redis"),
        secrets=directory / "secrets",
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        full=arguments.full,
        python=sys.executable,
        python_with_peers=python_with_peers,
        folder_with_medici=folder_with_medici,
        note=notes.append,
    )


def _commit() -> str:
    described = ["git", "-C", str(PROJECT), "describe", "--always", "--dirty"]
    return subprocess.run(described, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def _servers() -> str:
    lines = (
        subprocess.run([str(binary), "--version"], capture_output=True, text=True, check=True).stdout
        for binary in (find_mongod(), find_redis_server())
    )
    mongod, redis = (line.splitlines()[0] for line in lines)
    return f"mongod {mongod.split()[-1].lstrip('v')}, {redis.split(' sha=')[0]}; both with TLS and users"


if __name__ == "__main__":
    sys.exit(main())
