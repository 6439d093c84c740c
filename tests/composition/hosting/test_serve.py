from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from composition.config.secrets import FILES
from composition.exit_codes import EXIT_CONFIGURATION
from composition.hosting.servers import ServerName
from composition.wiring.platform import RuntimeName
from ports.errors import ConnectionFault
from tests.composition.hosting.serving import WAIT_S_MAX, Serving, creditctl, wait_until
from tests.servers.certificates import write_certificates
from tests.servers.mongod import MongodServer
from tests.servers.redis_server import RedisServer
from tests.servers.secret_files import write_secrets

RUNTIMES = [runtime.value for runtime in RuntimeName]
CARRIERS = [
    *((ServerName.HYPERCORN.value, runtime) for runtime in RUNTIMES),
    *((server.value, "asyncio") for server in (ServerName.UVICORN, ServerName.GRANIAN)),
]


@pytest.mark.parametrize(("server", "runtime"), CARRIERS)
def test_ctrl_c_ends_a_demo_cleanly(server: str, runtime: str) -> None:
    with Serving("demo", "--server", server, "--runtime", runtime) as demo:
        assert demo.get("/health/live").status_code == 200
        assert demo.stop(signal.SIGINT) == 0
        assert "Traceback" not in demo.errors


def test_the_four_commands_of_a_demo_work_when_pasted() -> None:
    with Serving("demo") as demo:
        wait_until(lambda: "Ctrl-C" in demo.output, "the whole announcement")
        commands = [line for line in demo.output.splitlines() if line.startswith("curl ")]
        assert len(commands) == 4
        answers = [_pasted(command) for command in commands]
        assert answers[0]["posted"] == 900
        assert answers[1]["amount"] == 250
        assert [entry["balance"] for entry in answers[2]["items"]] == [650, 900, 1000]
        assert answers[3]["token_type"] == "Bearer"


def _pasted(command: str) -> dict[str, Any]:
    """What the command asks for, without needing curl on this machine."""
    words = shlex.split(command)[1:]
    headers, data, url = {}, None, ""
    while words:
        match words.pop(0):
            case "-H":
                name, _, value = words.pop(0).partition(": ")
                headers[name] = value
            case "-d":
                data = words.pop(0)
            case "-sS":
                pass
            case url:
                pass
    answer = httpx.request("POST" if data else "GET", url, headers=headers, content=data, timeout=WAIT_S_MAX)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_bootstrap_key_is_an_administrators_and_its_file_private(runtime: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    arguments = ("--runtime", runtime, "--bootstrap-api-key-file", str(file))
    with Serving("serve", "--store", "memory", *arguments) as serving:
        serving.url()
        assert file.stat().st_mode & 0o777 == 0o600
        key = file.read_text().strip()
        assert serving.get("/api-keys", X_API_Key=key).status_code == 200
        assert serving.get("/api-keys", X_API_Key=key + "x").status_code == 401


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_sockets_are_closed_as_the_service_restarts(runtime: str) -> None:
    # The end comes long before the grace is over: no closed connection lingers.
    with Serving("demo", "--runtime", runtime, settings={"CREDIT_SHUTDOWN_GRACE": "10m"}) as demo:
        where = demo.url().replace("http", "ws") + "/ws"
        with connect(where, subprotocols=[Subprotocol("credit-system.v1")]) as client:
            demo.send(signal.SIGTERM)
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(timeout=WAIT_S_MAX)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012
        assert demo.wait() == 0


@pytest.mark.parametrize(("server", "runtime"), CARRIERS)
def test_a_client_hears_why_its_socket_ends_from_every_server(server: str, runtime: str) -> None:
    with Serving("demo", "--server", server, "--runtime", runtime) as demo:
        where = demo.url().replace("http", "ws") + "/ws"
        with connect(where, subprotocols=[Subprotocol("credit-system.v1")], close_timeout=1) as client:
            client.send("not JSON")
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(timeout=WAIT_S_MAX)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4400


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_request_in_flight_is_answered_before_the_end(runtime: str) -> None:
    body = json.dumps({"username": "nobody", "password": "wrong password"}).encode()
    head = "POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    with Serving("demo", "--runtime", runtime) as demo:
        host, port = demo.url().removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=WAIT_S_MAX) as client:
            client.sendall(head.encode() + body[:10])
            # Another request shows that the server has read at least so much before it is stopped.
            assert demo.get("/health/live").status_code == 200
            demo.send(signal.SIGTERM)
            _wait_until_refused(host, int(port))
            client.sendall(body[10:])
            assert client.recv(4096).startswith(b"HTTP/1.1 401")
        assert demo.wait() == 0


def _wait_until_refused(host: str, port: int) -> None:
    def is_refused() -> bool:
        try:
            socket.create_connection((host, port), timeout=WAIT_S_MAX).close()
        except ConnectionError:
            return True
        return False

    wait_until(is_refused, "the listener to close")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_second_interrupt_ends_the_process_at_once(runtime: str) -> None:
    with Serving("demo", "--runtime", runtime) as demo:
        host, port = demo.url().removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=WAIT_S_MAX) as client:
            client.sendall(b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
            client.sendall(b"Content-Length: 10\r\n\r\n{")
            assert demo.get("/health/live").status_code == 200
            demo.send(signal.SIGINT)
            _wait_until_refused(host, int(port))
            assert demo.stop(signal.SIGINT) == 130


def test_tls_is_served(tmp_path: Path) -> None:
    certificates = write_certificates(tmp_path)
    arguments = ("--tls-cert", str(certificates.certificate_file), "--tls-key", str(certificates.key_file))
    with Serving("serve", "--store", "memory", *arguments) as serving:
        assert serving.url().startswith("https://")
        context = ssl.create_default_context(cafile=certificates.ca_file)
        assert httpx.get(serving.url() + "/health/live", verify=context).status_code == 200


@pytest.mark.parametrize("fault", ["no certificate", "another's key", "a passphrase"])
def test_tls_files_that_cannot_be_served_from_end_the_start_by_name(fault: str, tmp_path: Path) -> None:
    for directory in (tmp_path / "one", tmp_path / "other"):
        directory.mkdir()
    files = write_certificates(tmp_path / "one")
    key_file = files.key_file
    if fault == "no certificate":
        files.certificate_file.write_text("not PEM\n")
    elif fault == "another's key":
        key_file = write_certificates(tmp_path / "other").key_file
    else:
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
        locked = serialization.BestAvailableEncryption(b"passphrase")
        key_file.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
        )
    done = creditctl(
        "serve", "--store", "memory", "--bind", "127.0.0.1:0",
        "--tls-cert", str(files.certificate_file), "--tls-key", str(key_file),
    )  # fmt: skip
    assert done.returncode == 2
    assert str(files.certificate_file) in done.stderr
    assert str(key_file) in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("serve", "--store", "paper"),
        ("serve", "--server", "granian", "--runtime", "trio"),
        ("serve", "--store", "memory", "--workers", "2"),
        ("serve", "--workers", "0"),
        ("demo", "--workers", "2"),
        ("demo", "--bind", "nowhere"),
        ("demo", "--tls-cert", "/nonexistent"),
        ("serve", "--tls-cert", "/nonexistent", "--tls-key", "/nonexistent"),
        ("serve", "--server", "gunicorn"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    done = creditctl(*arguments)
    assert done.returncode == 2
    assert "usage:" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_configuration_ends_with_78_and_one_list(tmp_path: Path) -> None:
    (tmp_path / "jwt_secret").write_text("changeme-changeme-changeme-changeme")
    (tmp_path / "redis_password").write_text("kept-out-of-sight")
    (tmp_path / "redis_password").chmod(0o666)
    settings = {"CREDIT_SECRETS_DIR": str(tmp_path), "CREDIT_BAN_BASE": "soon", "CREDIT_BAN_BAES": "1s"}
    done = creditctl("serve", settings=settings)
    assert done.returncode == 78
    listed = [line for line in done.stderr.splitlines() if line.startswith("  - ")]
    assert len(listed) == len(FILES) + 2
    for name in [*(file.name for file in FILES), "CREDIT_BAN_BASE", "CREDIT_BAN_BAES"]:
        assert any(name in line for line in listed)
    assert "kept-out-of-sight" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_said_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = creditctl("demo", "--bind", f"127.0.0.1:{port}")
    assert done.returncode == 1
    assert "Address already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_secrets_init_writes_what_serve_accepts(tmp_path: Path) -> None:
    place = tmp_path / "made" / "secrets"
    first = creditctl("secrets", "init", "--dir", str(place))
    again = creditctl("secrets", "init", "--dir", str(place))
    assert (first.returncode, again.returncode) == (0, 0)
    assert first.stdout.count("wrote ") == len(FILES)
    assert again.stdout.count("kept ") == len(FILES)


def test_openapi_prints_the_document() -> None:
    done = creditctl("openapi")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert "/credits/transfers" in document["paths"]


@pytest.fixture
def live(tmp_path: Path, mongod: MongodServer, redis_server: RedisServer) -> dict[str, str]:
    """Settings of a live store on real servers."""
    write_secrets(tmp_path / "secrets", mongod, redis_server)
    return {
        "CREDIT_MONGO_URL": mongod.url,
        "CREDIT_REDIS_URL": redis_server.url,
        "CREDIT_SECRETS_DIR": str(tmp_path / "secrets"),
    }


def test_a_live_store_that_is_away_ends_the_start_with_1(live: dict[str, str]) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        where = f"mongodb://127.0.0.1:{nobody.getsockname()[1]}/credit_system?replicaSet=rs0"
        done = creditctl(
            "serve", "--bind", "127.0.0.1:0",
            settings={**live, "CREDIT_MONGO_URL": where, "CREDIT_MONGO_OPERATION_TIMEOUT": "1s"},
        )  # fmt: skip
    assert done.returncode == 1
    assert "mongo" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("runtime", ["uvloop", "trio"])
def test_a_worker_that_dies_is_replaced_and_the_service_stays(
    runtime: str, live: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "key"
    arguments = ("--runtime", runtime, "--workers", "2", "--bootstrap-api-key-file", str(file))
    with Serving("serve", *arguments, settings=live) as serving:
        serving.url()
        key = file.read_text().strip()
        before = serving.workers()
        assert len(before) == 2
        for _ in range(10):
            assert serving.get("/", X_API_Key=key).status_code == 200
        counted = 'credit_http_requests_total{method="GET",route="/",status="200"} 10.0'
        assert counted in serving.get("/metrics").text.splitlines()
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: _is_replaced(serving, before[0]), "another worker")
        assert before[1] in serving.workers()
        for _ in range(10):
            assert serving.get("/", X_API_Key=key).status_code == 200
        assert serving.stop(signal.SIGTERM) == 0
        assert "Traceback" not in serving.errors
    assert not any(Path(f"/proc/{pid}").exists() for pid in before)


@pytest.mark.parametrize("server", [server.value for server in ServerName])
def test_the_bootstrap_key_is_there_when_several_workers_say_they_serve(
    server: str, live: dict[str, str], tmp_path: Path
) -> None:
    # Several starts: a worker of Granian once took its neighbour's port for its own, now and then.
    for start in range(3):
        file = tmp_path / f"key-{start}"
        arguments = ("--workers", "2", "--server", server, "--bootstrap-api-key-file", str(file))
        with Serving("serve", *arguments, settings=live) as serving:
            serving.url()
            assert serving.get("/api-keys", X_API_Key=file.read_text().strip()).status_code == 200
            assert serving.stop(signal.SIGTERM) == 0


def _is_replaced(serving: Serving, dead: int) -> bool:
    workers = serving.workers()
    return dead not in workers and len(workers) == 2


def test_workers_end_when_their_supervisor_is_killed(live: dict[str, str]) -> None:
    with Serving("serve", "--workers", "2", settings=live) as serving:
        serving.url()
        workers = serving.workers()
        serving.stop(signal.SIGKILL)
        wait_until(lambda: not any(_is_alive(pid) for pid in workers), "the workers to end")


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_live_store_is_looked_after_from_the_command_line(live: dict[str, str], tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("correct horse battery staple\n")
    arguments = ("--username", "root.one", "--email", "root@example.com", "--password-file", str(password))
    made = creditctl("user", "create", *arguments, settings=live)
    assert made.returncode == 0, made.stderr
    assert creditctl("user", "create", *arguments, settings=live).stderr == "creditctl: username_taken\n"

    created = creditctl("api-key", "create", "--name", "shop", "--scope", "credits:read", settings=live)
    assert created.stdout.startswith("ck_")
    assert creditctl("api-key", "create", "--name", "x", "--scope", "all", settings=live).returncode == 2
    line = next(row for row in _api_keys(live) if row.endswith(" shop"))
    assert " active " in line
    assert creditctl("api-key", "revoke", line.split()[0], settings=live).returncode == 0
    assert any(" revoked " in row and row.endswith(" shop") for row in _api_keys(live))
    assert creditctl("api-key", "revoke", "key_none", settings=live).returncode == 1

    checked = creditctl("doctor", "--json", settings=live)
    assert checked.returncode == 0, checked.stdout
    assert json.loads(checked.stdout)["good"] is True


def _api_keys(live: dict[str, str]) -> list[str]:
    return creditctl("api-key", "list", settings=live).stdout.splitlines()


def bootstrap_keys(live: dict[str, str]) -> list[str]:
    """Those that are active."""
    return [row for row in _api_keys(live) if " active " in row and row.endswith(" bootstrap")]


def test_a_start_leaves_one_bootstrap_key_of_its_host_and_file(live: dict[str, str], tmp_path: Path) -> None:
    file, other = tmp_path / "key", tmp_path / "other"
    before = len(bootstrap_keys(live))
    with Serving("serve", "--bootstrap-api-key-file", str(other), settings=live) as elsewhere:
        assert elsewhere.url()
        kept = {"X-API-Key": other.read_text().strip()}
        keys = []
        for workers in ("1", "2", "1"):
            arguments = ("--workers", workers, "--bootstrap-api-key-file", str(file))
            with Serving("serve", *arguments, settings=live) as serving:
                assert serving.url()
                keys.append(file.read_text().strip())
                statuses = [serving.get("/api-keys", **{"X-API-Key": key}).status_code for key in keys]
                assert statuses == [*[401] * (len(keys) - 1), 200]
                assert elsewhere.get("/api-keys", **kept).status_code == 200
                if len(keys) == 3:
                    revoked = serving.get("/admin/audit?action=api_key.revoked", **{"X-API-Key": keys[-1]})
                    resources = [event["resource"] for event in revoked.json()["items"]]
                    for key in keys[:-1]:
                        assert f"api_key:key_{key.split('_')[1]}" in resources
                serving.stop(signal.SIGTERM)
            if len(keys) == 2:
                # Lost, as the file of a container is: host and path still tell whose key it was.
                file.unlink()
    assert len(bootstrap_keys(live)) == before + 2


def test_a_file_that_cannot_be_written_costs_no_key(live: dict[str, str], tmp_path: Path) -> None:
    before = len(bootstrap_keys(live))
    done = creditctl(
        "serve",
        "--bind",
        "127.0.0.1:0",
        "--bootstrap-api-key-file",
        str(tmp_path / "none" / "key"),
        settings=live,
    )
    assert done.returncode == 1
    assert f"no bootstrap key can be written to {tmp_path / 'none' / 'key'}: No such file" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(bootstrap_keys(live)) == before


def checks_of(settings: dict[str, str]) -> dict[str, tuple[bool, str]]:
    done = creditctl("doctor", "--json", settings=settings)
    assert done.returncode == 1
    assert settings["CREDIT_SECRETS_DIR"] not in done.stdout
    return {check["check"]: (check["good"], check["detail"]) for check in json.loads(done.stdout)["checks"]}


def test_the_doctor_names_what_is_wrong(live: dict[str, str]) -> None:
    found = checks_of({**live, "CREDIT_REDIS_URL": "redis://127.0.0.1:1/0"})
    refused = (False, f"127.0.0.1:1: {ConnectionFault.REFUSED.value}")
    assert found["redis"] == found["redis eviction"] == refused
    assert found["mongo replica set"][0] is True
    unconfigured = creditctl("doctor", settings={"CREDIT_SECRETS_DIR": "/nonexistent"})
    assert unconfigured.returncode == 1
    assert unconfigured.stdout.count("BAD") == len(FILES)


def test_the_doctor_says_one_thing_of_one_fault(live: dict[str, str], mongod: MongodServer) -> None:
    password = Path(live["CREDIT_SECRETS_DIR"]) / "mongodb_password"
    password.write_text("not-the-password-of-this-user")
    told = f"127.0.0.1:{mongod.port}: {ConnectionFault.LOGIN.value} (as read_write)"
    found = checks_of(live)
    for check in ("mongo replica set", "mongo roles", "clock", "ledger head"):
        assert found[check] == (False, told), check
    # Others may still log in, so what they see is worth telling.
    assert "the login failed" not in found["mongo indexes"][1]
    assert found["redis"][0] is True


@pytest.mark.parametrize(
    "command", [("serve", "--bind", "127.0.0.1:0"), ("api-key", "list"), ("ledger", "head")]
)
def test_a_command_that_cannot_reach_the_store_says_whom_and_why_in_one_line(
    live: dict[str, str], mongod: MongodServer, command: tuple[str, ...]
) -> None:
    another = {**live, "CREDIT_MONGO_URL": mongod.url.replace("=rs0", "=rs1")}
    done = creditctl(*command, settings={**another, "CREDIT_MONGO_OPERATION_TIMEOUT": "1500ms"})
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert f"127.0.0.1:{mongod.port}: is of the replica set rs0, and the URL says rs1" in line


@pytest.mark.parametrize(
    ("name", "url", "said"),
    [
        ("CREDIT_MONGO_URL", "mongodb://h/?tls=maybe", "The value of tls must be 'true' or 'false'"),
        ("CREDIT_MONGO_URL", "mongodb://h/?tls=true&tlsCAFile=/no/ca", "/no/ca: No such file or directory"),
        ("CREDIT_MONGO_URL", "mongodb://h:port/", "Port contains non-digit characters"),
        ("CREDIT_REDIS_URL", "rediss://h/?ssl_ca_certs=/no/ca", "/no/ca: No such file or directory"),
        ("CREDIT_REDIS_URL", "redis://h/?databse=1", "no such option: 'databse'"),
        ("CREDIT_REDIS_URL", "redis://h/first", "the number of a database"),
        ("CREDIT_REDIS_URL", "redis+cluster://h:port", "Port could not be cast"),
    ],
)
def test_an_address_that_no_driver_takes_is_wrong_configuration(
    tmp_path: Path, name: str, url: str, said: str
) -> None:
    place = {"CREDIT_SECRETS_DIR": str(tmp_path / "secrets")}
    assert creditctl("secrets", "init", settings=place).returncode == 0
    for command in (("config", "check"), ("serve", "--bind", "127.0.0.1:0"), ("api-key", "list")):
        done = creditctl(*command, settings={**place, name: url})
        assert done.returncode == EXIT_CONFIGURATION, done.stderr
        problem = done.stderr.splitlines()[-1]
        assert problem.startswith(f"  - {name}: ")
        assert said in problem


def test_secrets_init_writes_to_where_serve_reads(tmp_path: Path) -> None:
    (tmp_path / "credit.toml").write_text(f'CREDIT_SECRETS_DIR = "{tmp_path}/of-the-file"\n')
    file = {"CREDIT_CONFIG_FILE": str(tmp_path / "credit.toml")}
    both = {**file, "CREDIT_SECRETS_DIR": str(tmp_path / "of-the-environment")}
    option = ("--dir", str(tmp_path / "of-the-option"))
    for settings, arguments, place in (
        (file, (), "of-the-file"), (both, (), "of-the-environment"), (both, option, "of-the-option"),
    ):  # fmt: skip
        before = creditctl("config", "check", settings=settings)
        assert before.returncode == (0 if arguments else EXIT_CONFIGURATION)
        assert arguments or before.stderr.count("`creditctl secrets init`") == len(FILES)
        assert creditctl("secrets", "init", *arguments, settings=settings).returncode == 0
        assert len(list((tmp_path / place).iterdir())) == len(FILES)
        assert creditctl("config", "check", settings=settings).returncode == 0


def test_what_an_orchestrator_injects_stops_nothing(tmp_path: Path) -> None:
    injected = {
        "CREDIT_PORT": "tcp://10.0.0.7:5000",
        "CREDIT_SERVICE_HOST": "10.0.0.7",
        "CREDIT_MONGO_PORT": "x",
    }
    place = {"CREDIT_SECRETS_DIR": str(tmp_path / "secrets"), **injected}
    assert creditctl("secrets", "init", settings=place).returncode == 0
    checked = creditctl("config", "check", settings={**place, "CREDIT_FLAVOUR": "x"})
    assert (checked.returncode, checked.stdout) == (
        0, f"settings and {len(FILES)} secrets are good; ignored, since no settings: CREDIT_FLAVOUR\n"
    )  # fmt: skip
    typo = creditctl("config", "check", settings={**place, "CREDIT_MONGO_ULR": "x"})
    assert typo.returncode == EXIT_CONFIGURATION
    assert "is CREDIT_MONGO_URL meant?" in typo.stderr


def test_a_password_file_that_is_missing_is_wrong_usage(tmp_path: Path) -> None:
    arguments = ("--username", "x", "--email", "x@example.com", "--password-file", str(tmp_path / "none"))
    done = creditctl("user", "create", *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
