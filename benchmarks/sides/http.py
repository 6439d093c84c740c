"""A server in a process of its own, one client, and the processor's time that each answer cost the server."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from benchmarks.rounds import Configuration, Figures, answer_rounds_in_order, configuration
from benchmarks.sides.startup import _free_port

READY_S_MAX: Final = 30.0
POLL_S: Final = 0.05
PASSWORD: Final = "correct horse battery staple"
UNLIMITED: Final = "1000000/60s"
TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")


class Server:
    """One that was started for the measurement."""

    def __init__(self, command: list[str], environment: Mapping[str, str], port: int) -> None:
        self._port = port
        self.process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_S_MAX)

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: object = None) -> tuple[int, Any]:
        sent = dict(headers)
        if body is not None:
            sent["Content-Type"] = "application/json"
        text = None if body is None else json.dumps(body)
        self._connection.request(method, path, body=text, headers=sent)
        answer = self._connection.getresponse()
        read = answer.read()
        return answer.status, json.loads(read) if read else None

    def wait(self, path: str) -> None:
        deadline_s = time.monotonic() + READY_S_MAX
        while True:
            try:
                if self.ask("GET", path, {})[0] == http.client.OK:
                    return
            except OSError:
                self._connection.close()
            if self.process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError("the server did not get ready")
            time.sleep(POLL_S)

    def processor_s(self) -> float:
        """What the process has used so far (proc(5): utime and stime)."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND

    def stop(self) -> None:
        self._connection.close()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(READY_S_MAX)


def main() -> None:
    config = configuration()
    with tempfile.TemporaryDirectory() as directory:
        server, path, headers, expected = _prepared(config, Path(directory))

        def measure(seconds: float) -> Figures:
            count, ends_s, before_s = 0, time.monotonic() + seconds, server.processor_s()
            while time.monotonic() < ends_s:
                status, _ = server.ask("GET", path, headers)
                if status != expected:
                    raise RuntimeError(f"answered {status} instead of {expected}")
                count += 1
            used_s = max(server.processor_s() - before_s, 1 / TICKS_A_SECOND)
            return {"per_cpu_second": count / used_s, "per_second": count / seconds}

        try:
            answer_rounds_in_order(measure, {name: version(name) for name in ("quart", "hypercorn")})
        finally:
            server.stop()


def _prepared(config: Configuration, directory: Path) -> tuple[Server, str, dict[str, str], int]:
    """The server, and the request to measure with the status of its answer."""
    port = _free_port()
    bind = f"127.0.0.1:{port}"
    if config["kind"] == "bare":
        server = Server([sys.executable, "-m", "benchmarks.sides.bare_quart", bind], {}, port)
        server.wait("/credits/accounts/alice")
        return server, "/credits/accounts/alice", {}, http.client.OK
    key_file = directory / "key"
    environment = {
        "CREDIT_MONGO_URL": config["mongo_url"].replace("/credit_system?", f"/http_{secrets.token_hex(4)}?"),
        "CREDIT_REDIS_URL": config["redis_url"],
        "CREDIT_SECRETS_DIR": config["secrets"],
        "CREDIT_REDIS_DECISION_TIMEOUT": "5s",
        "CREDIT_RATE_LIMIT_IP": UNLIMITED,
        "CREDIT_RATE_LIMIT_USER": UNLIMITED,
        "CREDIT_LOG_LEVEL": "error",
        # Each of the sides is its own client: one is banned, the other is not.
        "CREDIT_TRUSTED_PROXIES": "127.0.0.0/8",
    }
    command = [sys.executable, "-m", "composition", "serve", "--runtime", "uvloop", "--bind", bind]
    server = Server([*command, "--bootstrap-api-key-file", str(key_file)], environment, port)
    server.wait("/health/ready")
    while not (key_file.exists() and key_file.read_text().strip()):
        time.sleep(POLL_S)
    admin = {"X-API-Key": key_file.read_text().strip()}
    if config["kind"] == "plain":
        return server, "/", {}, http.client.OK
    address = f"2001:db8:{secrets.randbelow(1 << 16):x}::1"
    headers, account = _account_of_a_user(server, admin, {"X-Forwarded-For": address})
    if config["kind"] == "allowed":
        return server, account, headers, http.client.OK
    ban = {"type": "ip", "identifier": address, "seconds": 86_400, "reason": "benchmark"}
    _made(server.ask("POST", "/admin/bans", admin, ban))
    return server, account, headers, http.client.FORBIDDEN


def _account_of_a_user(
    server: Server, admin: Mapping[str, str], headers: dict[str, str]
) -> tuple[dict[str, str], str]:
    """A user's headers, and the path of their account."""
    login = {"username": f"user-{secrets.token_hex(6)}", "password": PASSWORD}
    user = {**login, "email": f"{login['username']}@example.com"}
    made = _made(server.ask("POST", "/auth/register", headers, user))
    status, tokens = server.ask("POST", "/auth/login", headers, login)
    if status != http.client.OK:
        raise RuntimeError(f"login was answered {status}")
    account = _made(server.ask("POST", "/credits/accounts", admin, {"asset": "GEMS", "user_id": made["id"]}))
    headers = {
        **headers,
        "Authorization": f"Bearer {tokens['access_token']}",
        "X-Device-Id": tokens["device_id"],
    }
    return headers, f"/credits/accounts/{account['id']}"


def _made(answer: tuple[int, Any]) -> dict[str, Any]:
    status, body = answer
    if status != http.client.CREATED:
        raise RuntimeError(f"answered {status}: {body}")
    made: dict[str, Any] = body
    return made


if __name__ == "__main__":
    main()
