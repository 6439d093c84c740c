"""A server in a process of its own, so many clients, and the processor's time that each answer cost it."""

from __future__ import annotations

import http.client
import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import jwt
import redis
import uvloop

from benchmarks.load import Question, load
from benchmarks.peers.account_store import AUDIENCE
from benchmarks.rounds import Configuration, Figures, answer_rounds, configuration
from benchmarks.sides.served import POLL_S, TICKS_A_SECOND, Served, free_port

PASSWORD: Final = "correct horse battery staple"
TOKEN_S: Final = 3_600
IGNORED: Final = {
    "X-Forwarded-For": "2001:db8:abcd::1",
    "Authorization": f"Bearer {'a' * 449}",
    "X-Device-Id": "a" * 32,
}
"""Bare Quart is sent as many headers as the service, of the same lengths."""
UNLIMITED: Final = "1000000/60s"
BARE_PATH: Final = "/credits/accounts/alice"


async def main() -> None:
    config = configuration()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server, question = _PREPARED[config["side"]](config, directory)
        stack.callback(server.stop)
        server.wait(question.path, question.headers, question.status)

        async def measure(seconds: float) -> Figures:
            before_s = server.processor_s()
            figures = await load(server.port, question, clients=config["clients"], seconds=seconds)
            used_s = max(server.processor_s() - before_s, 1 / TICKS_A_SECOND)
            return {**figures, "per_cpu_second": figures["answers"] / used_s}

        await answer_rounds(measure, _versions(config))


def _versions(config: Configuration) -> Mapping[str, str]:
    names: list[str] = config["packages"]
    if "python" not in config:
        return {name: version(name) for name in names}
    script = (
        "import json,sys,importlib.metadata as m;print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    )
    command = [config["python"], "-c", script, *names]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    versions: Mapping[str, str] = json.loads(told)
    return versions


def _bare(_: Configuration, __: Path) -> tuple[Served, Question]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.sides.bare_quart", f"127.0.0.1:{port}"]
    return Served(command, {}, port), Question(BARE_PATH, IGNORED, http.client.OK)


def _peer(config: Configuration, directory: Path) -> tuple[Served, Question]:
    """A peer is told by a file where Redis is; one account and its owner's token are ready for it."""
    port = free_port()
    secret, user_id = secrets.token_hex(32), f"user-{secrets.token_hex(6)}"
    address = {name: config[name] for name in ("redis_url", "redis_password")}
    told = directory / "told"
    told.touch(mode=0o600)
    told.write_text(json.dumps({**address, "secret": secret}))
    amounts = dict.fromkeys(("posted", "held", "available", "overdraft_limit", "seq"), 0)
    account = {"id": f"account-{secrets.token_hex(6)}", "asset": "GEMS", "user_id": user_id, **amounts}
    with redis.Redis.from_url(config["redis_url"], password=config["redis_password"]) as store:
        store.hset(f"account:{account['id']}", mapping=account)
    now_s = int(time.time())
    claims = {"sub": user_id, "aud": AUDIENCE, "iat": now_s, "exp": now_s + TOKEN_S}
    token = jwt.encode(claims, secret, algorithm="HS256")
    command = [config["python"], *(part.format(port=port) for part in config["command"])]
    server = Served(command, {"PEER_TOLD": str(told)}, port)
    headers = {"Authorization": f"Bearer {token}"}
    return server, Question(f"/credits/accounts/{account['id']}", headers, http.client.OK)


def _ours(config: Configuration, directory: Path) -> tuple[Served, Question]:
    port = free_port()
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
    command = [sys.executable, "-m", "composition", "serve", "--runtime", "uvloop"]
    command += ["--server", config["server"], "--bind", f"127.0.0.1:{port}"]
    server = Served([*command, "--bootstrap-api-key-file", str(key_file)], environment, port)
    server.wait("/health/ready", {}, http.client.OK)
    while not (key_file.exists() and key_file.read_text().strip()):
        time.sleep(POLL_S)
    admin = {"X-API-Key": key_file.read_text().strip()}
    if config["request"] == "plain":
        return server, Question("/", {}, http.client.OK)
    address = f"2001:db8:{secrets.randbelow(1 << 16):x}::1"
    headers, account = _account_of_a_user(server, admin, {"X-Forwarded-For": address})
    if config["request"] == "allowed":
        return server, Question(account, headers, http.client.OK)
    ban = {"type": "ip", "identifier": address, "seconds": 86_400, "reason": "benchmark"}
    _made(server.ask("POST", "/admin/bans", admin, ban))
    return server, Question(account, headers, http.client.FORBIDDEN)


def _account_of_a_user(
    server: Served, admin: Mapping[str, str], headers: dict[str, str]
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


_PREPARED: Final = {"bare": _bare, "ours": _ours, "peer": _peer}


if __name__ == "__main__":
    uvloop.run(main())
