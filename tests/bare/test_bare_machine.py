"""A user's machine has what requirements/runtime.txt brings and no more: everything that ships works there,
on each supported Python that is at hand.

Each environment is made, and each thing tried in it, by the first test that asks: test processes side by side
share the environments and try different things.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import pytest
import trustme

from composition.commands.cli import _parser
from composition.config.secrets import FILES
from composition.exit_codes import EXIT_CONFIGURATION
from composition.hosting.servers import ServerName
from composition.wiring.platform import RuntimeName
from tests.bare import explain_commands, walk_imports
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


class Machine:
    """One Python with nothing but the product."""

    def __init__(self, interpreter: Interpreter, folder: Path) -> None:
        self._interpreter = interpreter
        self._folder = folder
        self._visits: dict[tuple[str, str], Visit] = {}

    @cached_property
    def environment(self) -> Environment:
        return with_runtime(self._interpreter)

    def visited(self, server: str, runtime: str) -> Visit:
        carrier = server, runtime
        if carrier not in self._visits:
            folder = self._folder / f"{server}-{runtime}"
            self._visits[carrier] = visit(self.environment, server, runtime, folder)
        return self._visits[carrier]

    def without_secrets(self, *arguments: str) -> Ran:
        return self._ran(*arguments, CREDIT_SECRETS_DIR=str(self._folder / "nowhere"))

    def with_secrets(self, *arguments: str, **settings: str) -> Ran:
        return self._ran(*arguments, CREDIT_SECRETS_DIR=str(self._secrets), **settings)

    @cached_property
    def written(self) -> Ran:
        """How its secrets were written."""
        return self._ran("secrets", "init", CREDIT_SECRETS_DIR=str(self._folder / "secrets"))

    @property
    def _secrets(self) -> Path:
        assert self.written.exit_code == 0, self.written.errors
        return self._folder / "secrets"

    def _ran(self, *arguments: str, **settings: str) -> Ran:
        return run(self.environment, *arguments, folder=self._folder, settings=settings)


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Machine]:
    return {each.minor: Machine(each, tmp_path_factory.mktemp(each.minor)) for each in PYTHONS}


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
    walk = walked(machines[python.minor].environment)
    assert walk.exit_code == 0, walk.output + walk.errors
    assert int(walk.output.split()[0]) > 300


@pytest.mark.parametrize("python", PYTHONS, ids=lambda each: each.minor)
@pytest.mark.parametrize(("server", "runtime"), CARRIERS)
def test_every_page_is_served(
    machines: dict[str, Machine], python: Interpreter, server: str, runtime: str
) -> None:
    visited = machines[python.minor].visited(server, runtime)
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
    openapi, asyncapi = machine.with_secrets("openapi"), machine.with_secrets("asyncapi")
    assert (openapi.exit_code, asyncapi.exit_code) == (0, 0), openapi.errors + asyncapi.errors
    served = machine.visited("hypercorn", "asyncio").document
    assert as_document(openapi.output) == served
    assert as_document(asyncapi.output)["asyncapi"] == "3.0.0"


@pytest.mark.parametrize("python", PYTHONS, ids=lambda each: each.minor)
def test_commands_that_need_no_server_do_without(machines: dict[str, Machine], python: Interpreter) -> None:
    machine = machines[python.minor]
    before = machine.without_secrets("config", "check")
    assert before.exit_code == EXIT_CONFIGURATION
    assert before.errors.count("`creditctl secrets init`") == len(FILES)
    assert (machine.written.exit_code, machine.written.errors) == (0, "")
    for arguments in (("config", "check"), ("keys", "rotate", "jwt")):
        done = machine.with_secrets(*arguments)
        assert (done.exit_code, done.errors) == (0, ""), arguments


@pytest.mark.parametrize(
    ("minor", "arguments"), STORE_RUNS, ids=lambda each: each if isinstance(each, str) else " ".join(each)
)
def test_commands_whose_server_is_away_say_so(
    machines: dict[str, Machine], minor: str, arguments: tuple[str, ...]
) -> None:
    done = machines[minor].with_secrets(*arguments, **AWAY)
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


def test_every_command_explains_itself(machines: dict[str, Machine]) -> None:
    every = tuple(helps(_parser()))
    assert len(every) > 20
    done = subprocess.run(
        [machines[PYTHONS[0].minor].environment.python, explain_commands.__file__],
        input="".join(json.dumps(words) + "\n" for words in every),
        check=True, env=plain(), capture_output=True, text=True, timeout=RESULT_S_MAX,
    )  # fmt: skip
    for words, line in zip(every, done.stdout.splitlines(), strict=True):
        code, printed = json.loads(line)
        assert code == 0, words
        assert printed.startswith(f"usage: {' '.join(('creditctl', *words))}")


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
    environment = machines[PYTHONS[0].minor].environment
    shutil.copytree(Path(trustme.__file__).parent, tmp_path / "trustme")
    done = subprocess.run(
        [environment.python, "-m", "tests.servers", "--help"],
        check=False, cwd=PROJECT, env=plain({"PYTHONPATH": str(tmp_path)}), capture_output=True, text=True,
        timeout=RESULT_S_MAX,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
