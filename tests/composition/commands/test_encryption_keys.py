"""`creditctl keys rotate encryption`, and running processes that take the new ring in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.crypto.derivation import derived_key
from adapters.crypto.field_cipher import key_id_of
from adapters.memory.metrics import MemoryMetrics
from adapters.runtime.system import SystemEntropy
from composition.commands.cli import main
from composition.config.load import collect
from composition.config.ring_file import encryption_ring_text, parse_encryption_ring
from composition.config.secrets import (
    ENCRYPTION_FILE,
    Secrets,
    load_secrets,
    read_secret,
    write_secrets,
)
from composition.exit_codes import EXIT_CONFIGURATION, EXIT_USAGE
from composition.wiring.field_encryption import FieldEncryption
from composition.wiring.platform import Platform
from composition.wiring.ring_watch import RELOAD_INTERVAL_S, RELOADS, RingWatch
from domain.encryption.envelope import HEADER_BYTES, FieldFault
from domain.encryption.keyring import KEYS_MAX, WRITE_DELAY_MS, EncryptionRing, RingKey
from domain.encryption.policies import USER_EMAIL
from ports.encryption.field_cipher import FieldCipher, UnreadableField
from ports.identity.token_keys import TokenKeySet
from tests.simulation.runtime.simulated_runtime import SimulatedRuntime

ROTATE = ("keys", "rotate", "encryption")
ROOT, NEXT = "kT3vYz8QpWm5Rj2XcN7bLh4GdF9sAe6U", "Zq8LmN4xRt7VbK2cWp9Hs5JdGf3YaE6u"
PHRASE = "seven quiet words that nobody else would put together"


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "secrets"
    list(write_secrets(collect({"CREDIT_SECRETS_DIR": str(directory)}, []).secret_paths))
    monkeypatch.setenv("CREDIT_SECRETS_DIR", str(directory))
    return directory / "encryption_key"


def ring_in(path: Path) -> EncryptionRing:
    return parse_encryption_ring(read_secret(ENCRYPTION_FILE, path))


def secrets_of(path: Path) -> Secrets:
    problems: list[str] = []
    found = load_secrets(collect({"CREDIT_SECRETS_DIR": str(path.parent)}, []).secret_paths, problems)
    assert found is not None, problems
    return found


def rotate(*options: str) -> int:
    return main([*ROTATE, *options])


def first_id(ring: EncryptionRing) -> str:
    return key_id_of(ring.keys[0].secret.encode()).hex()


def written_long_ago(path: Path, *secrets: str) -> EncryptionRing:
    ring = EncryptionRing(secrets[0], tuple(RingKey(each, at) for at, each in enumerate(secrets)))
    path.write_text(encryption_ring_text(ring))
    return ring


def test_what_hangs_on_the_first_root_stays_while_the_ring_rotates(secret: Path) -> None:
    plain = secret.read_text().strip()
    assert secrets_of(secret).index_root == plain
    for _ in range(3):
        assert rotate() == 0
        assert secrets_of(secret).index_root == plain
    assert derived_key(secrets_of(secret).index_root, "redis-names") == derived_key(plain, "redis-names")
    ring = ring_in(secret)
    assert ring.keys[0] == RingKey(plain)
    assert len(ring.keys) == 4
    assert secret.stat().st_mode & 0o777 == 0o600


def test_a_ring_names_its_index_root_or_hangs_on_its_first_key() -> None:
    keys = '{"keys":[{"secret":"one","writes_from_ms":0}]'
    assert parse_encryption_ring(keys + "}").index_root == "one"
    assert parse_encryption_ring(keys + ',"index_root":"another"}').index_root == "another"


def test_a_passphrase_is_marked_as_one_and_has_a_salt_of_its_own(
    secret: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    phrase = tmp_path / "phrase"
    phrase.write_text(PHRASE + "\n")
    assert rotate("--passphrase-file", str(phrase)) == 0
    assert rotate("--passphrase-file", str(phrase)) == 1
    key = ring_in(secret).keys[1]
    assert key.secret == PHRASE
    assert key.salt is not None
    assert len(key.salt) >= 16
    assert PHRASE not in "".join(capsys.readouterr())
    assert json.loads(secret.read_text())["keys"][1].keys() == {"passphrase", "salt", "writes_from_ms"}
    assert main(["keys", "list", "encryption"]) == 0
    assert [line.split()[1:3] for line in capsys.readouterr().out.splitlines()] == [
        ["writes", "random"],
        ["reads", "passphrase"],
    ]


def test_a_weak_passphrase_is_refused(secret: Path, tmp_path: Path) -> None:
    phrase, before = tmp_path / "phrase", secret.read_text()
    for weak in (
        "short",
        "aaaaaaaaaaaaaaaaaaaaaaaa",
        "changeme-changeme-changeme",
        "two\nlines of a passphrase",
    ):
        phrase.write_text(weak)
        assert rotate("--passphrase-file", str(phrase)) == EXIT_CONFIGURATION
    assert rotate("--passphrase-file", str(tmp_path / "none")) == EXIT_CONFIGURATION
    assert secret.read_text() == before


def test_no_rotation_takes_a_key_away(secret: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codes = [rotate() for _ in range(KEYS_MAX)]
    assert codes == [0] * (KEYS_MAX - 1) + [1]
    assert "still read" in capsys.readouterr().err
    assert len(ring_in(secret).keys) == KEYS_MAX


def test_a_key_is_retired_when_told_so_and_the_index_root_stays(secret: Path) -> None:
    ring = written_long_ago(secret, ROOT, NEXT)
    assert rotate("--retire", first_id(ring), "--force") == 0
    assert ring_in(secret) == EncryptionRing(ring.index_root, ring.keys[1:])


def test_nothing_is_forced_but_a_retirement(secret: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = secret.read_bytes()
    assert rotate("--force") == EXIT_USAGE
    assert "--retire" in capsys.readouterr().err
    assert secret.read_bytes() == before


def test_the_writing_key_one_that_will_write_and_one_that_wrote_just_now_stay(
    secret: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rotate("--retire", first_id(ring_in(secret))) == 1
    assert rotate("--after", "1ms") == 0
    ring = ring_in(secret)
    assert rotate("--retire", first_id(ring)) == 1
    assert rotate("--retire", key_id_of(ring.keys[1].secret.encode()).hex()) == 1
    said = capsys.readouterr().err
    assert said.count("the key writes") == 3
    assert rotate("--retire", "0011223344556677") == 1
    assert "no such key" in capsys.readouterr().err
    assert ring_in(secret) == ring


@pytest.mark.parametrize(
    ("keys", "root"),
    [
        ("", ""),
        ('{"passphrase":"seven quiet words of it","writes_from_ms":0}', f'"{ROOT}"'),
        ('{"passphrase":"seven quiet words of it","salt":"short","writes_from_ms":0}', f'"{ROOT}"'),
        ('{"passphrase":"seven quiet words of it","salt":"kT3vYz8QpWm5Rj2X","writes_from_ms":0}', ""),
        (f'{{"secret":"{ROOT}","writes_from_ms":0}}', '"short"'),
        (f'{{"secret":"{ROOT}","writes_from_ms":0}}', "null"),
        (f'{{"secret":"{ROOT}","writes_from_ms":0}}', '"kT3vYz8QpWm5Rj2X","more":1'),
    ],
)
def test_a_file_that_is_no_ring_is_left_alone_and_named(
    secret: Path, keys: str, root: str, capsys: pytest.CaptureFixture[str]
) -> None:
    named = f',"index_root":{root}' if root else ""
    content = f'{{"keys":[{keys}]{named}}}'
    secret.write_text(content)
    for arguments in (ROTATE, ("keys", "list", "encryption")):
        assert main(arguments) == EXIT_CONFIGURATION
        said = capsys.readouterr().err
        assert "secret encryption_key" in said
        assert "kT3vYz8Q" not in said
    assert secret.read_text() == content


# --- running processes


class Clock:
    def __init__(self, runtime: SimulatedRuntime) -> None:
        self._runtime = runtime

    def now_ms(self) -> int:
        return NOW_MS + int(self._runtime.monotonic() * 1000)


NOW_MS = 1_900_000_000_000


class NoTokens:
    """`TokenKeys` that never change."""

    def current(self) -> TokenKeySet:
        raise NotImplementedError

    def reload(self) -> bool:
        return False


class Worker:
    """One process's ciphers over the file, on virtual time."""

    def __init__(self, runtime: SimulatedRuntime, secret: Path) -> None:
        self.metrics = MemoryMetrics()
        platform = Platform(
            runtime=runtime, clock=Clock(runtime), entropy=SystemEntropy(), metrics=self.metrics
        )
        self.fields = FieldEncryption(platform, secrets_of(secret))
        self.email: FieldCipher = self.fields.cipher(USER_EMAIL)
        self.watch = RingWatch(NoTokens(), reload_fields=self.fields.reload, runtime=runtime)

    def reloads(self, outcome: str) -> float:
        return self.metrics.value(RELOADS.name, outcome)


def key_of(stored: bytes) -> bytes:
    return stored[2:HEADER_BYTES]


def test_a_new_key_reads_at_once_and_writes_after_a_minute_on_every_worker(secret: Path) -> None:
    runtime = SimulatedRuntime(1)

    async def body() -> None:
        async with runtime.running():
            workers = [Worker(runtime, secret) for _ in range(3)]
            for worker in workers:
                await worker.watch.start()
            index = workers[0].email.blind_index("ada@example.org")
            before = workers[0].email.encrypt("usr_1", "ada@example.org")
            add_key(secret, NOW_MS + int(runtime.monotonic() * 1000) + WRITE_DELAY_MS)
            late = Worker(runtime, secret)
            await runtime.sleep(RELOAD_INTERVAL_S + 1)
            for worker in workers:
                assert worker.reloads("loaded") == 1
                assert worker.email.is_current(before)
            await runtime.sleep(WRITE_DELAY_MS / 1000)
            written = [worker.email.encrypt("usr_1", "ada@example.org") for worker in (*workers, late)]
            assert len({key_of(stored) for stored in (before, *written)}) == 2
            assert len({key_of(stored) for stored in written}) == 1
            for worker in (*workers, late):
                for stored in (before, *written):
                    assert worker.email.decrypt("usr_1", stored) == "ada@example.org"
                assert worker.email.blind_index("ada@example.org") == index
            for worker in workers:
                await worker.watch.stop()

    runtime.run(body)


def test_a_value_of_an_unknown_key_has_a_worker_look_at_the_file(secret: Path) -> None:
    runtime = SimulatedRuntime(1)

    async def body() -> None:
        async with runtime.running():
            worker = Worker(runtime, secret)
            add_key(secret, 1)
            stored = Worker(runtime, secret).email.encrypt("usr_1", "ada")
            assert worker.email.decrypt("usr_1", stored) == "ada"
            assert worker.reloads("loaded") == 1

    runtime.run(body)


def shorten(path: Path) -> None:
    path.write_text("short")


def change_the_index_root(path: Path) -> None:
    written_long_ago(path, ROOT)


@pytest.mark.parametrize("spoil", [shorten, change_the_index_root, Path.unlink])
def test_a_bad_file_keeps_the_ring_and_is_told_once(
    secret: Path, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    runtime = SimulatedRuntime(1)

    async def body() -> None:
        async with runtime.running():
            worker = Worker(runtime, secret)
            await worker.watch.start()
            stored = worker.email.encrypt("usr_1", "ada")
            spoil(secret)
            await runtime.sleep(3 * RELOAD_INTERVAL_S)
            assert worker.reloads("failed") == 1
            assert worker.email.decrypt("usr_1", stored) == "ada"
            assert worker.email.is_current(stored)
            await worker.watch.stop()

    runtime.run(body)
    (told,) = [record.getMessage() for record in caplog.records if "stays" in record.message]
    assert "encryption_key" in told


def test_a_retired_key_reads_no_more_once_a_worker_has_looked(secret: Path) -> None:
    runtime = SimulatedRuntime(1)

    async def body() -> None:
        async with runtime.running():
            written_long_ago(secret, ROOT)
            stored = Worker(runtime, secret).email.encrypt("usr_1", "ada")
            ring = written_long_ago(secret, ROOT, NEXT)
            worker = Worker(runtime, secret)
            assert worker.email.decrypt("usr_1", stored) == "ada"
            assert rotate("--retire", first_id(ring), "--force") == 0
            await worker.fields.reload()
            with pytest.raises(UnreadableField) as raised:
                worker.email.decrypt("usr_1", stored)
            assert raised.value.fault is FieldFault.UNKNOWN_KEY

    runtime.run(body)


def add_key(path: Path, writes_from_ms: int) -> None:
    """What a rotation writes, by a clock of the test."""
    ring = ring_in(path)
    keys = (*ring.keys, RingKey(NEXT, writes_from_ms))
    path.write_text(encryption_ring_text(EncryptionRing(ring.index_root, keys)))
