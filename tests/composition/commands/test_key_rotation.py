"""`creditctl keys rotate jwt`, and running processes that take the new ring in."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from adapters.crypto.token_keys import TokenKeyring
from adapters.memory.metrics import MemoryMetrics
from adapters.runtime.system import SystemClock
from composition.commands import key_rotation
from composition.commands.cli import main
from composition.config.load import collect
from composition.config.ring_file import parse_ring, ring_text
from composition.config.secrets import JWT_FILE, SECRET_BYTES_MAX, write_secrets
from composition.exit_codes import EXIT_CONFIGURATION
from composition.wiring.ring_watch import (
    RELOAD_INTERVAL_S,
    RELOAD_INTERVAL_S_MIN,
    RELOADS,
    RingFile,
    RingWatch,
)
from domain.encryption.keyring import KEYS_MAX, Ring, RingKey, reading_keys
from ports.runtime import Runtime
from tests.simulation.runtime.simulated_runtime import SimulatedRuntime

ROTATE = ("keys", "rotate", "jwt")


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "secrets"
    list(write_secrets(collect({"CREDIT_SECRETS_DIR": str(directory)}, []).secret_paths))
    monkeypatch.setenv("CREDIT_SECRETS_DIR", str(directory))
    return directory / "jwt_secret"


def ring_in(path: Path) -> Ring:
    return parse_ring(path.read_text().removesuffix("\n"))


def rotate(*options: str) -> int:
    return main([*ROTATE, *options])


def rotate_twice_as_long(directory: str) -> None:
    os.environ["CREDIT_SECRETS_DIR"] = directory
    assert all(rotate("--after", "60s") == 0 for _ in range(3))


def test_a_plain_secret_is_a_ring_of_one_and_gains_a_second_that_writes_in_a_minute(
    secret: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = secret.read_text().strip()
    now_ms = SystemClock().now_ms()
    assert rotate() == 0
    first, second = ring_in(secret)
    assert first == RingKey(before, 0)
    assert second.secret != before
    assert 60_000 <= second.writes_from_ms - now_ms < 120_000
    assert secret.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in secret.parent.iterdir() if path.name.startswith(".")) == []
    said = capsys.readouterr().out
    assert "2 keys" in said
    assert first.secret not in said
    assert second.secret not in said


def test_the_service_starts_with_a_rotated_ring(secret: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rotate() == 0
    assert rotate("--after", "2m") == 0
    assert len(ring_in(secret)) == 3
    assert rotate("--after", "1s") == 1
    assert "does not write yet" in capsys.readouterr().err
    assert len(ring_in(secret)) == 3


def test_keys_that_leaked_are_forgotten_at_once(secret: Path) -> None:
    before = ring_in(secret)
    assert rotate("--forget-old") == 0
    (key,) = ring_in(secret)
    assert key not in before
    assert key.writes_from_ms <= SystemClock().now_ms()


def test_a_ring_does_not_grow_without_bound(secret: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codes = [rotate() for _ in range(KEYS_MAX)]
    assert codes == [0] * (KEYS_MAX - 1) + [1]
    assert "still read" in capsys.readouterr().err
    assert len(secret.read_text()) <= SECRET_BYTES_MAX


def test_two_rotations_at_once_lose_no_key(secret: Path) -> None:
    spawned = multiprocessing.get_context("spawn")
    processes = [spawned.Process(target=rotate_twice_as_long, args=(str(secret.parent),)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(ring_in(secret)) == 7


def test_a_rotation_that_does_not_end_holds_the_next_one_up_for_a_while_only(
    secret: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(key_rotation, "LOCK_S_MAX", 0.0)
    with key_rotation._locked(secret.parent):
        assert rotate() == 1
    assert "another rotation is under way" in capsys.readouterr().err
    assert len(ring_in(secret)) == 1
    assert rotate() == 0


def test_a_file_that_cannot_be_replaced_stays_and_the_ring_goes_elsewhere(
    secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before, out = secret.read_text(), tmp_path / "next"

    def busy(self: Path, _: Path) -> None:
        # What a secret that is mounted as a single file answers.
        raise OSError(errno.EBUSY, "Device or resource busy", str(self))

    monkeypatch.setattr(Path, "replace", busy)
    assert rotate() == 1
    assert "--out FILE" in capsys.readouterr().err
    assert secret.read_text() == before
    assert len(list(secret.parent.iterdir())) == 9
    assert rotate("--out", str(out)) == 0
    assert secret.read_text() == before
    assert len(ring_in(out)) == 2
    assert out.stat().st_mode & 0o777 == 0o600
    assert rotate("--out", str(out)) == 1


def test_what_a_link_names_is_replaced_and_a_group_may_still_read(secret: Path) -> None:
    target = secret.with_name("elsewhere")
    secret.rename(target)
    target.chmod(0o640)
    secret.symlink_to(target)
    assert rotate() == 0
    assert secret.is_symlink()
    assert len(ring_in(target)) == 2
    assert target.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "content",
    ["", "short", "{", "{}", '{"keys":[]}', '{"keys":{}}', '{"keys":[{"secret":"x"}]}', "{" * 4_000,
     '{"keys":[{"secret":"changeme-changeme-changeme-changeme","writes_from_ms":0}]}',
     '{"keys":[{"secret":"kT3vYz8QpWm5Rj2XcN7bLh4GdF9sAe6U","writes_from_ms":true}]}',
     '{"keys":[{"secret":"kT3vYz8QpWm5Rj2XcN7bLh4GdF9sAe6U","writes_from_ms":1e3}]}',
     '{"keys":[{"secret":"\\ud800T3vYz8QpWm5Rj2XcN7bLh4GdF9sAe6U","writes_from_ms":0}]}',
     '{"keys":[{"secret":"kT3vYz8QpWm5Rj2XcN7bLh4GdF9sAe6U","writes_from_ms":0,"more":1}]}'],
)  # fmt: skip
def test_a_file_that_is_no_ring_is_left_alone_and_named(
    secret: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    secret.write_text(content)
    assert rotate() == EXIT_CONFIGURATION
    said = capsys.readouterr().err
    assert "secret jwt_secret" in said
    assert "kT3vYz8Q" not in said
    assert secret.read_text() == content


def test_a_ring_is_read_back_as_it_was_written() -> None:
    ring = (RingKey("a" * 32), RingKey('quo"te\\', 1_800_000_000_000))
    assert parse_ring(ring_text(ring)) == ring
    assert set(json.loads(ring_text(ring))) == {"keys"}


@pytest.mark.parametrize("arguments", [("keys",), ("keys", "rotate"), (*ROTATE, "--after", "soon")])
def test_wrong_usage_is_said(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err


# --- running processes


class Process:
    """One process's keys over the file, on virtual time."""

    def __init__(self, runtime: Runtime, secret: Path) -> None:
        self.metrics = MemoryMetrics()
        ring = ring_in(secret)
        self.file = RingFile(JWT_FILE, secret, ring, parse=parse_ring, runtime=runtime, metrics=self.metrics)
        self.keys = TokenKeyring(
            ring, clock=SystemClock(), refresh_lifetime_ms=86_400_000, look=self.file.reload
        )

    def reloads(self, outcome: str) -> float:
        return self.metrics.value(RELOADS.name, outcome)


async def nothing_to_reload() -> bool:
    return False


def test_a_rotated_ring_is_taken_in_while_running(secret: Path) -> None:
    runtime = SimulatedRuntime(1)

    async def body() -> None:
        async with runtime.running():
            process = Process(runtime, secret)
            watch = RingWatch(process.keys, reload_fields=nothing_to_reload, runtime=runtime)
            await watch.start()
            await runtime.sleep(RELOAD_INTERVAL_S + 1)
            assert process.reloads("loaded") == 0
            assert rotate() == 0
            await runtime.sleep(RELOAD_INTERVAL_S)
            assert len(process.keys.current().refresh_keys) == 2
            assert process.reloads("loaded") == 1
            await watch.stop()

    runtime.run(body)


def test_a_bad_file_changes_nothing_and_is_told_once(secret: Path, caplog: pytest.LogCaptureFixture) -> None:
    runtime, good = SimulatedRuntime(1), secret.read_text()

    def repair() -> None:
        secret.write_text(good)

    async def body() -> None:
        async with runtime.running():
            process = Process(runtime, secret)
            before = process.keys.current()
            for spoil in (lambda: secret.write_text("short"), secret.unlink):
                spoil()
                for _ in range(3):
                    await runtime.sleep(RELOAD_INTERVAL_S)
                    assert not process.keys.reload()
            assert process.keys.current() is before
            assert process.reloads("failed") == 2
            repair()
            assert rotate() == 0
            await runtime.sleep(RELOAD_INTERVAL_S)
            assert process.keys.reload()

    runtime.run(body)
    assert len([record for record in caplog.records if "stays" in record.message]) == 2


def test_a_flood_of_forged_tokens_makes_a_process_look_no_more_often(
    secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = SimulatedRuntime(1)
    looks = 0
    identity = RingFile._identity

    def counted(self: RingFile) -> tuple[int, ...] | str:
        nonlocal looks
        looks += 1
        return identity(self)

    async def body() -> None:
        async with runtime.running():
            process = Process(runtime, secret)
            for _ in range(1_000):
                process.keys.reload()
            assert looks == 1
            await runtime.sleep(RELOAD_INTERVAL_S_MIN)
            process.keys.reload()
            assert looks == 2

    monkeypatch.setattr(RingFile, "_identity", counted)
    runtime.run(body)


def test_a_ring_rotated_between_the_start_and_the_first_look_is_not_missed(secret: Path) -> None:
    runtime = SimulatedRuntime(1)

    async def body() -> None:
        async with runtime.running():
            process = Process(runtime, secret)
            assert rotate() == 0
            assert process.keys.reload()
            assert len(reading_keys(ring_in(secret), SystemClock().now_ms(), lifetime_ms=1)) == 2

    runtime.run(body)
