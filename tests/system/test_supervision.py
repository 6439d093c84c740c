"""Several workers under one supervisor, from outside: what befalls one of them, the service survives."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from itertools import count, pairwise
from pathlib import Path
from threading import Event
from time import monotonic, sleep

import pytest

from adapters.worker_link.link import LOOK_INTERVAL_S, QUIET_LOOKS_MAX
from tests.servers.certificates import write_certificates
from tests.servers.mongod import MongodServer
from tests.servers.redis_server import RedisServer
from tests.system.product import Product, Stage, live_stage, running
from tests.system.workers import ask, directory_of, holder_of, metrics_of, wait_until, workers_of

MANY = "1000000/60s"
WORKERS = ("--workers", "2")
SILENCE_S = 2.0
REPLACED_S_MAX = 10.0
"""For a worker to start on a machine that has other things to do."""
SILENT_LINK_S = LOOK_INTERVAL_S * (QUIET_LOOKS_MAX + 1)


@pytest.fixture
def stage(tmp_path: Path, mongod: MongodServer, redis_server: RedisServer) -> Stage:
    database = f"system_{secrets.token_hex(6)}"
    stage = live_stage(tmp_path, "uvloop", mongod, redis_server, database=database)
    return stage.with_settings(
        CREDIT_RATE_LIMIT_IP=MANY,
        CREDIT_RATE_LIMIT_API_KEY=MANY,
        CREDIT_RUNTIME_DIR=str(tmp_path / "run"),
        CREDIT_WORKER_TIMEOUT=f"{SILENCE_S:.0f}s",
    )


def output_of(directory: Path) -> str:
    return "".join(file.read_text() for file in directory.glob("output-*.log"))


def wait_for_replacement(product: Product, *dead: int) -> float:
    """Until none of these is there, and two others serve."""
    return wait_until(
        lambda: (
            not set(dead) & set(workers_of(product))
            and len(workers_of(product)) == 2
            and metrics_of(product)['credit_workers{state="serving"}'] == 2
        ),
        "a replacement",
    )


def descriptors_of(product: Product) -> int:
    return len(list(Path(f"/proc/{product.process.pid}/fd").iterdir()))


def restarts(product: Product, reason: str) -> float:
    return metrics_of(product)[f'credit_worker_restarts_total{{reason="{reason}"}}']


def open_account(product: Product, funds: int) -> str:
    opened = ask(product, "POST", "/credits/accounts", {"asset": "GEMS"})
    assert opened.status_code == 201, opened.text
    account: str = opened.json()["id"]
    body = {"account": account, "amount": funds, "category": "paid"}
    assert ask(product, "POST", "/credits/grants", body).status_code == 201
    return account


@pytest.mark.parametrize("fault", ["secret", "settings", "certificate"])
def test_a_replacement_that_cannot_start_is_tried_again_and_harms_nobody(
    fault: str, stage: Stage, tmp_path: Path
) -> None:
    settings_file = tmp_path / "credit.toml"
    settings_file.write_text('CREDIT_LOG_LEVEL = "info"\n')
    missing = settings_file
    options: tuple[str, ...] = WORKERS
    if fault == "certificate":
        certificates = write_certificates(tmp_path)
        missing = certificates.certificate_file
        options += ("--tls-cert", str(missing), "--tls-key", str(certificates.key_file))
    secret = tmp_path / "secrets" / "jwt_secret"
    with running(stage.with_settings(CREDIT_CONFIG_FILE=str(settings_file)), tmp_path, options) as product:
        if fault == "certificate":
            product.url = product.url.replace("http:", "https:")
        dead, healthy = workers_of(product)
        if fault == "secret":
            secret.chmod(0o666)
        else:
            missing.rename(tmp_path / "elsewhere")
        os.kill(dead, signal.SIGKILL)
        wait_until(lambda: restarts(product, "configuration") >= 2, "two tries that failed")
        assert healthy in workers_of(product)
        assert output_of(tmp_path).count("(configuration) and is replaced in") >= 2
        if fault == "secret":
            secret.chmod(0o600)
        else:
            (tmp_path / "elsewhere").rename(missing)
        wait_for_replacement(product, dead)
        assert healthy in workers_of(product)


def test_while_no_worker_can_start_the_supervisor_goes_on_and_obeys_at_once(
    stage: Stage, tmp_path: Path
) -> None:
    secret = tmp_path / "secrets" / "jwt_secret"
    with running(stage, tmp_path, WORKERS) as product:
        before = workers_of(product)
        secret.chmod(0o666)
        for worker in before:
            os.kill(worker, signal.SIGKILL)
        wait_until(lambda: output_of(tmp_path).count("(configuration)") >= 4, "tries of both that failed")
        secret.chmod(0o600)
        wait_for_replacement(product, *before)
        secret.chmod(0o666)
        for worker in workers_of(product):
            os.kill(worker, signal.SIGKILL)
        wait_until(lambda: "is replaced in 1.6 s" in output_of(tmp_path), "a pause to stop in")
        wait_until(lambda: workers_of(product) == [], "a moment without a worker")
        began_s = monotonic()
        assert product.stop() == 0
        assert monotonic() - began_s < 1.0


def test_a_worker_that_does_not_answer_is_replaced_and_what_it_held_is_taken_over(
    stage: Stage, tmp_path: Path
) -> None:
    with running(stage, tmp_path, WORKERS) as product:
        account = open_account(product, 100)
        stopped = holder_of(product)
        assert stopped is not None
        (other,) = set(workers_of(product)) - {stopped}
        os.kill(stopped, signal.SIGSTOP)
        began_s = monotonic()
        body = {"id": "t-1", "source": account, "amount": 1, "code": "spend"}
        assert ask(product, "POST", "/credits/transfers", body).status_code == 201
        assert monotonic() - began_s < SILENCE_S + SILENT_LINK_S
        wait_for_replacement(product, stopped)
        assert monotonic() - began_s < SILENCE_S + REPLACED_S_MAX
        assert other in workers_of(product)
        assert restarts(product, "silent") == 1
        assert f"(process {stopped}) does not answer for 2 s and is killed" in output_of(tmp_path)
        assert ask(product, "GET", f"/credits/accounts/{account}").json()["posted"] == 99
        assert ask(product, "POST", "/credits/transfers", body).json()["id"] == "t-1"


def test_a_supervisor_that_slept_takes_nobody_for_silent(stage: Stage, tmp_path: Path) -> None:
    with running(stage, tmp_path, WORKERS) as product:
        before = workers_of(product)
        product.process.send_signal(signal.SIGSTOP)
        # All of them sleep, as on a machine that is suspended; the supervisor wakes up first.
        for worker in before:
            os.kill(worker, signal.SIGSTOP)
        sleep(SILENCE_S * 2)
        product.process.send_signal(signal.SIGCONT)
        for worker in before:
            os.kill(worker, signal.SIGCONT)
        sleep(SILENCE_S)
        assert workers_of(product) == before
        assert "does not answer" not in output_of(tmp_path)


def test_what_lies_in_the_runtime_and_log_directories_may_be_removed_at_any_time(
    stage: Stage, tmp_path: Path
) -> None:
    run, logs = tmp_path / "run", tmp_path / "logs"
    with running(stage.with_settings(CREDIT_LOG_DIR=str(logs)), tmp_path, WORKERS) as product:
        account = open_account(product, 1_000)
        before = metrics_of(product)
        first = workers_of(product)
        holder = holder_of(product)
        directory = directory_of(first[0])
        assert run in directory.parents
        shutil.rmtree(run)
        shutil.rmtree(logs)
        after = metrics_of(product)
        assert all(after[name] >= value for name, value in before.items() if name.endswith("_total"))
        (other,) = set(first) - {holder}
        os.kill(other, signal.SIGKILL)
        wait_for_replacement(product, other)
        numbers = count()

        def spend() -> None:
            body = {"id": f"t-{next(numbers)}", "source": account, "amount": 1, "code": "spend"}
            assert ask(product, "POST", "/credits/transfers", body).status_code == 201

        for _ in range(20):
            spend()
        assert ask(product, "GET", f"/credits/accounts/{account}").json()["posted"] == 980
        # One worker holds the book again, where the others find it.
        wait_until(lambda: len(list(directory.glob("*.sock"))) == 1, "a holder in its place")
        assert directory.stat().st_mode & 0o777 == 0o700

        def is_logged() -> bool:
            # A file's place is looked at once a second: lines just after the removal went with that file.
            spend()
            return any(" spend 1 " in file.read_text() for file in logs.glob("game_play*.log"))

        wait_until(is_logged, "a log of what happens now")


def test_however_often_workers_die_counters_never_fall_and_nothing_is_left_behind(
    stage: Stage, tmp_path: Path
) -> None:
    stopped = Event()
    seen: list[dict[str, float]] = []

    def scrape(product: Product) -> None:
        while not stopped.is_set():
            seen.append(metrics_of(product))

    with running(stage, tmp_path, WORKERS) as product, ThreadPoolExecutor(1) as pool:
        open_account(product, 100)
        descriptors = descriptors_of(product)
        files = sorted(tmp_path.glob("run/*"))
        scraping = pool.submit(scrape, product)
        deaths = 4
        for _ in range(deaths):
            dead = workers_of(product)[0]
            os.kill(dead, signal.SIGKILL)
            wait_for_replacement(product, dead)
        stopped.set()
        scraping.result()
        assert restarts(product, "signal") == deaths
        assert descriptors_of(product) == descriptors
        assert sorted(tmp_path.glob("run/*")) == files
        for earlier, later in pairwise(seen):
            fallen = {
                name: (value, later.get(name))
                for name, value in earlier.items()
                if name.partition("{")[0].endswith(("_total", "_count", "_sum", "_bucket"))
                and not name.startswith(("credit_account_balance", "credit_balance"))
                and later.get(name, 0.0) < value
            }
            assert not fallen
        samples = metrics_of(product)
        assert samples['credit_workers{state="serving"}'] == 2
        assert samples['credit_http_requests_total{method="POST",route="/credits/grants",status="201"}'] == 1
    assert not list(tmp_path.glob("run/*"))
