"""A user's machine has what requirements/runtime.txt brings and no more: everything that ships works there,
on each supported Python that is at hand.

All that takes long (environments, starts, waits for servers that are away) is begun when the first test asks,
two at a time; each test waits for what it looks at.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from composition.commands.cli import _parser
from composition.config.secrets import FILES
from composition.exit_codes import EXIT_CONFIGURATION
from composition.hosting.servers import ServerName
from composition.wiring.platform import RuntimeName
from tests.bare import walk_imports
from tests.bare.environments import (
    Environment,
    Interpreter,
    interpreters,
    plain,
    supported,
    with_runtime,
    without_extras,
)
from tests.bare.visits import Ran, Visit, as_document, run, visit
from tests.ground.sources import FLOORS, PROJECT

AT_ONCE = 2
RESULT_S_MAX = 600.0
PYTHONS = interpreters()
CARRIERS = tuple(
    (server.value, runtime.value)
    for server in ServerName
    for runtime in RuntimeName
    if server is ServerName.HYPERCORN or runtime is not RuntimeName.TRIO
)
EXTRAS = ("motor", "uvicorn", "granian")
AWAY = {
    "CREDIT_MONGO_URL": "mongodb://127.0.0.1:1/?replicaSet=rs0",
    "CREDIT_REDIS_URL": "redis://127.0.0.1:1/0",
    "CREDIT_MONGO_OPERATION_TIMEOUT": "500ms",
}
BEFORE = ("config", "check", "before there is a secret")
STORE_COMMANDS: tuple[tuple[str, ...], ...] = tuple(
    tuple(line.split())
    for line in (
        "doctor --json",
        "serve --bind 127.0.0.1:0",
        "api-key list",
        "api-key revoke key_none",
        "api-key create --name x --scope admin",
        "bans list",
        "bans lift ip 192.0.2.1",
        "limits show ip 192.0.2.1",
        "ledger verify",
        "ledger head",
        "ledger export",
    )
)
"""Commands that need MongoDB or Redis, which are not there."""

STORE_RUNS = tuple(
    (python.minor, arguments)
    for python in PYTHONS
    # What they import is tried on every Python; how they end, on one.
    for arguments in (STORE_COMMANDS if python is PYTHONS[0] else STORE_COMMANDS[:1])
)


@dataclass(frozen=True, slots=True)
class Machine:
    """One Python with nothing but the product: what was begun on it."""

    environment: Future[Environment]
    imports: Future[Ran]
    visits: dict[tuple[str, str], Future[Visit]]
    commands: dict[tuple[str, ...], Future[Ran]]


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Machine]]:
    folder = tmp_path_factory.mktemp("bare")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        made = {each.minor: pool.submit(with_runtime, each) for each in PYTHONS}
        yield {minor: _begin(pool, environment, folder / minor) for minor, environment in made.items()}
        pool.shutdown(cancel_futures=True)


def _begin(pool: ThreadPoolExecutor, environment: Future[Environment], folder: Path) -> Machine:
    folder.mkdir()
    place = {"CREDIT_SECRETS_DIR": str(folder / "secrets")}

    def visited(server: str, runtime: str) -> Callable[[], Visit]:
        return lambda: visit(environment.result(), server, runtime, folder / f"{server}-{runtime}")

    def ran(arguments: tuple[str, ...], settings: dict[str, str]) -> Callable[[], Ran]:
        return lambda: run(environment.result(), *arguments, folder=folder, settings=settings)

    nowhere = {"CREDIT_SECRETS_DIR": str(folder / "nowhere")}
    commands: dict[tuple[str, ...], Future[Ran]] = {BEFORE: pool.submit(ran(("config", "check"), nowhere))}
    init = pool.submit(ran(("secrets", "init"), place))

    def later(arguments: tuple[str, ...], settings: dict[str, str]) -> Callable[[], Ran]:
        def wait_and_run() -> Ran:
            init.result()
            return ran(arguments, settings)()

        return wait_and_run

    commands["secrets", "init"] = init
    without_servers: tuple[tuple[str, ...], ...] = (
        ("openapi",), ("asyncapi",), ("config", "check"), ("keys", "rotate", "jwt"),
    )  # fmt: skip
    for arguments in without_servers:
        commands[arguments] = pool.submit(later(arguments, place))
    for minor, arguments in STORE_RUNS:
        if folder.name == minor:
            commands[arguments] = pool.submit(later(arguments, {**place, **AWAY}))
    return Machine(
        environment=environment,
        imports=pool.submit(lambda: walked(environment.result())),
        visits={carrier: pool.submit(visited(*carrier)) for carrier in CARRIERS},
        commands=commands,
    )


def walked(environment: Environment, *absent: str) -> Ran:
    packages = [str(PROJECT / floor) for floor in FLOORS]
    options = [word for name in absent for word in ("--absent", name)]
    done = subprocess.run(
        [environment.python, walk_imports.__file__, *packages, *options],
        check=False, cwd=environment.folder, env=plain(), capture_output=True, text=True,
        timeout=RESULT_S_MAX,
    )  # fmt: skip
    return Ran(done.returncode, done.stdout, done.stderr)


def test_the_python_of_the_tests_is_among_those_that_are_tried() -> None:
    tried = [python.minor for python in PYTHONS]
    assert "3.11" in supported()
    assert set(tried) <= set(supported())
    assert tried


@pytest.mark.parametrize("python", PYTHONS, ids=lambda each: each.minor)
def test_every_import_that_ships_is_there(machines: dict[str, Machine], python: Interpreter) -> None:
    walk = machines[python.minor].imports.result(RESULT_S_MAX)
    assert walk.exit_code == 0, walk.output + walk.errors
    assert int(walk.output.split()[0]) > 300


@pytest.mark.parametrize("python", PYTHONS, ids=lambda each: each.minor)
@pytest.mark.parametrize(("server", "runtime"), CARRIERS)
def test_every_page_is_served(
    machines: dict[str, Machine], python: Interpreter, server: str, runtime: str
) -> None:
    visited = machines[python.minor].visits[server, runtime].result(RESULT_S_MAX)
    assert visited.exit_code == 0, visited.log
    assert "Traceback" not in visited.log
    assert {path: status for path, status in visited.pages.items() if status >= 500} == {}
    public = {
        "/", "/docs", "/openapi.json", "/asyncapi.json", "/metrics", "/health/live", "/health/ready",
        "/.well-known/jwks.json", "/docs/start.js", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css",
    }  # fmt: skip
    assert {visited.pages.get(path) for path in public} == {200}
    assert len(visited.pages) > len(public)


@pytest.mark.parametrize("python", PYTHONS, ids=lambda each: each.minor)
def test_commands_print_the_documents_that_are_served(
    machines: dict[str, Machine], python: Interpreter
) -> None:
    machine = machines[python.minor]
    openapi, asyncapi = (machine.commands[name,].result(RESULT_S_MAX) for name in ("openapi", "asyncapi"))
    assert (openapi.exit_code, asyncapi.exit_code) == (0, 0), openapi.errors + asyncapi.errors
    served = machine.visits["hypercorn", "asyncio"].result(RESULT_S_MAX).document
    assert as_document(openapi.output) == served
    assert as_document(asyncapi.output)["asyncapi"] == "3.0.0"


@pytest.mark.parametrize("python", PYTHONS, ids=lambda each: each.minor)
def test_commands_that_need_no_server_do_without(machines: dict[str, Machine], python: Interpreter) -> None:
    commands = machines[python.minor].commands
    before = commands[BEFORE].result(RESULT_S_MAX)
    assert before.exit_code == EXIT_CONFIGURATION
    assert before.errors.count("`creditctl secrets init`") == len(FILES)
    for arguments in (("secrets", "init"), ("config", "check"), ("keys", "rotate", "jwt")):
        done = commands[arguments].result(RESULT_S_MAX)
        assert (done.exit_code, done.errors) == (0, ""), arguments


@pytest.mark.parametrize(
    ("minor", "arguments"), STORE_RUNS, ids=lambda each: each if isinstance(each, str) else " ".join(each)
)
def test_commands_whose_server_is_away_say_so(
    machines: dict[str, Machine], minor: str, arguments: tuple[str, ...]
) -> None:
    done = machines[minor].commands[arguments].result(RESULT_S_MAX)
    assert done.exit_code == 1, done.errors
    assert "Traceback" not in done.errors
    assert "127.0.0.1:1: connection refused" in done.output + done.errors


def helps(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command and group of commands."""
    yield words
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield from helps(below, (*words, name))


@pytest.mark.parametrize("python", PYTHONS[:1], ids=lambda each: each.minor)
def test_every_command_explains_itself(
    machines: dict[str, Machine], python: Interpreter, tmp_path: Path
) -> None:
    environment = machines[python.minor].environment.result(RESULT_S_MAX)
    every = tuple(helps(_parser()))
    assert len(every) > 20
    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = pool.map(lambda words: run(environment, *words, "--help", folder=tmp_path, settings={}), every)
        for words, explained in zip(every, done, strict=True):
            assert explained.exit_code == 0, words
            assert explained.output.startswith(f"usage: {' '.join(('creditctl', *words))}")


def test_without_extras_only_what_needs_them_is_refused(tmp_path: Path) -> None:
    environment = without_extras(PYTHONS[0])
    walk = walked(environment, *EXTRAS)
    assert walk.exit_code == 0, walk.output + walk.errors
    visited = visit(environment, "hypercorn", "asyncio", tmp_path / "demo")
    assert {visited.pages[path] for path in ("/openapi.json", "/docs", "/metrics")} == {200}
    for server in ("uvicorn", "granian"):
        refused = run(environment, "demo", "--server", server, folder=tmp_path, settings={})
        assert refused.exit_code == 2
        assert f"credit-system[{server}]" in refused.errors
    run(environment, "secrets", "init", folder=tmp_path, settings={})
    motor = run(environment, "config", "check", folder=tmp_path, settings={"CREDIT_MONGO_DRIVER": "motor"})
    assert motor.exit_code == EXIT_CONFIGURATION
    assert "credit-system[motor]" in motor.errors


def test_the_servers_to_try_it_on_need_trustme_and_nothing_more(
    machines: dict[str, Machine], tmp_path: Path
) -> None:
    environment = machines[PYTHONS[0].minor].environment.result(RESULT_S_MAX)
    shutil.copytree(Path(trustme.__file__).parent, tmp_path / "trustme")
    done = subprocess.run(
        [environment.python, "-m", "tests.servers", "--help"],
        check=False, cwd=PROJECT, env=plain({"PYTHONPATH": str(tmp_path)}), capture_output=True, text=True,
        timeout=RESULT_S_MAX,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
