"""Starts the product as an operator would, and speaks to it as a client would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Self

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.servers.mongod import MongodServer
from tests.servers.process import free_port
from tests.servers.redis_server import RedisServer
from tests.servers.secret_files import write_secrets

READY_S_MAX = 30.0
STOP_S_MAX = 20.0
ANSWER_S_MAX = 10.0
PASSWORD = "correct horse battery staple"


@dataclass(frozen=True, slots=True)
class Stage:
    """What the product runs on: a command line and its environment."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]

    def with_settings(self, **settings: str) -> Stage:
        return Stage(self.arguments, {**self.environment, **settings})


def memory_stage(runtime: str) -> Stage:
    return Stage(("demo", "--runtime", runtime), {})


def live_stage(
    directory: Path, runtime: str, mongod: MongodServer, redis_server: RedisServer, *, database: str
) -> Stage:
    write_secrets(directory / "secrets", mongod, redis_server)
    environment = {
        "CREDIT_MONGO_URL": mongod.url.replace("/credit_system?", f"/{database}?"),
        "CREDIT_REDIS_URL": redis_server.url,
        "CREDIT_SECRETS_DIR": str(directory / "secrets"),
        # So that a busy machine is not taken for a Redis that is away, and limits decided here and there.
        "CREDIT_REDIS_DECISION_TIMEOUT": "500ms",
    }
    return Stage(("serve", "--store", "live", "--runtime", runtime), environment)


class Product:
    """A running service and its first administrator's key."""

    def __init__(self, url: str, key: str, process: subprocess.Popen[bytes]) -> None:
        self.url = url
        self.key = key
        self.process = process
        self.http = httpx.Client(base_url=url, timeout=ANSWER_S_MAX)

    def admin(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        """As the holder of the bootstrap key."""
        return self.http.request(method, path, json=body, headers={"X-API-Key": self.key, **_dashed(headers)})

    def anyone(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        return self.http.request(method, path, json=body, headers=_dashed(headers))

    def metrics(self) -> dict[str, float]:
        """Every sample of one scrape, by its name and labels as they stand in the text."""
        lines = self.anyone("GET", "/metrics").text.splitlines()
        samples = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def stop(self) -> int:
        """Ctrl-C; the exit code."""
        self.http.close()
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_S_MAX)


class Person:
    """A registered user on a device of their own."""

    def __init__(self, product: Product, name: str) -> None:
        self.product = product
        self.name = name
        registered = self._patiently(
            "/auth/register", {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        )
        assert registered.status_code == 201, registered.text
        self.id: str = registered.json()["id"]
        login = self._patiently("/auth/login", {"username": name, "password": PASSWORD})
        assert login.status_code == 200, login.text
        self.tokens: dict[str, Any] = login.json()

    def _patiently(self, path: str, body: object) -> httpx.Response:
        """Comes again when the answer says so: where a decision of the limiter takes longer than 50 ms, as on
        a busy machine, these routes fail closed."""
        deadline = monotonic() + READY_S_MAX
        while (
            reply := self.product.anyone("POST", path, body)
        ).status_code == 503 and monotonic() < deadline:
            sleep(float(reply.headers["Retry-After"]))
        return reply

    def ask(self, method: str, path: str, body: object = None) -> httpx.Response:
        headers = {
            "Authorization": f"Bearer {self.tokens['access_token']}",
            "X-Device-Id": self.tokens["device_id"],
        }
        return self.product.http.request(method, path, json=body, headers=headers)

    @contextmanager
    def socket(self) -> Iterator[WebSocket]:
        token = self.ask("POST", "/auth/websocket-token").json()["token"]
        url = self.product.url.replace("http", "ws", 1) + "/ws"
        with connect(url, subprotocols=["credit-system.v1"], open_timeout=ANSWER_S_MAX) as connection:  # type: ignore[list-item]  # Subprotocol is a NewType of str
            opened = WebSocket(connection)
            opened.send(id=1, type="connect", token=token)
            reply = opened.receive()
            assert (reply["id"], reply["type"]) == (1, "connected"), reply
            yield opened


class WebSocket:
    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    def send(self, **frame: Any) -> None:
        self._connection.send(json.dumps(frame))

    def receive(self) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(self._connection.recv(timeout=ANSWER_S_MAX))
        return frame


@contextmanager
def running(stage: Stage, directory: Path, options: Sequence[str] = ()) -> Iterator[Product]:
    """The product on a free port, until the block ends. It must then end cleanly by Ctrl-C."""
    with _Launch(stage, directory, options) as launch:
        product = launch.ready()
        yield product
        if product.process.poll() is None:
            assert product.stop() == 0, launch.output()


class _Launch:
    def __init__(self, stage: Stage, directory: Path, options: Sequence[str]) -> None:
        port = free_port()
        self._url = f"http://127.0.0.1:{port}"
        self._key_file = directory / f"key-{port}"
        self._log = directory / f"output-{port}.log"
        self._command = [
            sys.executable, "-m", "composition", *stage.arguments,
            "--bind", f"127.0.0.1:{port}", "--bootstrap-api-key-file", str(self._key_file), *options,
        ]  # fmt: skip
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CREDIT_")}
        self._environment = {**inherited, **stage.environment}

    def __enter__(self) -> Self:
        # A file, not a pipe: nobody reads while the test talks, and a full pipe would stop the service.
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=subprocess.STDOUT
            )
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP_S_MAX)

    def output(self) -> str:
        return self._log.read_text()

    def ready(self) -> Product:
        """Waits for the key file, and until all workers serve: the first of them writes it."""
        deadline = monotonic() + READY_S_MAX
        while not (self._key_file.exists() and "serving on" in self.output()):
            if self.process.poll() is not None or monotonic() > deadline:
                pytest.fail(f"the service did not get ready:\n{self.output()}")
            try:
                self.process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        return Product(self._url, self._key_file.read_text().strip(), self.process)


def _dashed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
