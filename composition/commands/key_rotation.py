"""`creditctl keys`: changes a ring of keys, in a file that no reader ever sees half written."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from secrets import token_urlsafe
from typing import TYPE_CHECKING

from adapters.crypto.derivation import root_key
from adapters.crypto.field_cipher import key_id_of
from adapters.runtime.system import SystemClock
from composition.config.load import ConfigurationInvalid, read_configuration
from composition.config.ring_file import encryption_ring_text, parse_encryption_ring, parse_ring, ring_text
from composition.config.secrets import (
    ENCRYPTION_FILE,
    JWT_FILE,
    SECRET_BYTES_MAX,
    SecretFile,
    check_passphrase,
    fresh_key,
    read_secret,
)
from composition.config.settings import Settings
from composition.exit_codes import EXIT_FAILED, failed
from domain.encryption.keyring import (
    EncryptionRing,
    RetirementRefusal,
    Ring,
    RingKey,
    RotationRefusal,
    retired,
    rotated,
    writing_key,
)
from domain.identity.tokens import ACCESS_KEY_LIFETIME_MS
from ports.errors import DependencyUnavailable

if TYPE_CHECKING:
    from adapters.mongo.key_usage import KeyUsage

SALT_BYTES = 16
"""128 random bits, as NIST SP 800-132 asks for."""
LOCK_S_MAX = 10.0
LOCK_INTERVAL_S = 0.02
_NOT_REPLACEABLE = {errno.EROFS, errno.EBUSY, errno.EACCES, errno.EPERM, errno.EXDEV}


Refusal = RotationRefusal | RetirementRefusal
Change = Callable[[str, Settings, int], tuple[str, str] | Refusal]
"""From the text of a secret, the settings and the time: the new text, and what to print about it."""


def rotate_jwt(environ: Mapping[str, str], *, after_ms: int, forget_old: bool, out: Path | None) -> int:
    """Adds a key that writes after `after_ms`; with `forget_old`, it replaces the ring and writes at once.

    The new ring is written to `out`, where the file of the secret cannot be replaced. The exit code. Raises
    `ConfigurationInvalid`.
    """

    def change(text: str, settings: Settings, now_ms: int) -> tuple[str, str] | Refusal:
        if forget_old:
            ring: Ring | Refusal = (RingKey(fresh_key(), now_ms),)
        else:
            # Refresh tokens live longer than all others.
            lifetime_ms = settings.session_idle_ttl_ms + ACCESS_KEY_LIFETIME_MS
            new = RingKey(fresh_key(), now_ms + after_ms)
            ring = rotated(parse_ring(text), new, now_ms, lifetime_ms=lifetime_ms)
        if isinstance(ring, Enum):
            return ring
        return ring_text(ring), f"{len(ring)} keys; the new one signs from {_written(ring[-1])} on"

    return _changed(environ, JWT_FILE, change, out)


def rotate_encryption(
    environ: Mapping[str, str], *, after_ms: int, passphrase_file: Path | None, out: Path | None
) -> int:
    """Adds a key that reads at once and writes after `after_ms`: random, or the passphrase in a file.

    `out` and what comes out are those of `rotate_jwt`.
    """
    secret, salt = fresh_key(), None
    if passphrase_file is not None:
        secret, salt = _passphrase(passphrase_file), token_urlsafe(SALT_BYTES)

    def change(text: str, _: Settings, now_ms: int) -> tuple[str, str] | Refusal:
        before = parse_encryption_ring(text)
        keys = rotated(before.keys, RingKey(secret, now_ms + after_ms, salt), now_ms, lifetime_ms=None)
        if isinstance(keys, RotationRefusal):
            return keys
        ring = EncryptionRing(before.index_root, keys)
        return encryption_ring_text(
            ring
        ), f"{len(keys)} keys; the new one writes from {_written(keys[-1])} on"

    return _changed(environ, ENCRYPTION_FILE, change, out)


def retire_encryption_key(environ: Mapping[str, str], *, key_id: str, force: bool, out: Path | None) -> int:
    """Takes a key out of the ring: no value that it wrote can be read any more. Refused while a stored value
    names it, or when that cannot be seen, unless `force`. `out` and what comes out are those of `rotate_jwt`.
    """

    def change(text: str, _: Settings, now_ms: int) -> tuple[str, str] | Refusal:
        before = parse_encryption_ring(text)
        keys = retired(before.keys, _key_of(before.keys, key_id), now_ms)
        if isinstance(keys, RetirementRefusal):
            return keys
        ring = EncryptionRing(before.index_root, keys)
        return encryption_ring_text(ring), f"{len(keys)} keys; {key_id} reads no more"

    # What the ring itself refuses needs no look at what is stored.
    ring, now_ms = _ring(environ), SystemClock().now_ms()
    refusal = retired(ring, _key_of(ring, key_id), now_ms)
    if isinstance(refusal, RetirementRefusal):
        return failed(refusal.value)
    if not force and (objection := _still_used(environ, key_id)):
        return failed(f"{objection} (--force drops the key all the same: what it wrote opens no more)")
    return _changed(environ, ENCRYPTION_FILE, change, out)


def list_encryption_keys(environ: Mapping[str, str]) -> int:
    """Prints a line for each key of stored fields, oldest first: id, state, kind, since when it writes."""
    ring = _ring(environ)
    for line in _lines(ring).values():
        print(line)
    return 0


def encryption_status(environ: Mapping[str, str]) -> int:
    """As `list_encryption_keys`, with the number of stored values that name each key, and what no key of the
    ring opens. 1 when there is such a value, or MongoDB is away. Raises `ConfigurationInvalid`."""
    try:
        usage = _usage(environ)
    except DependencyUnavailable as error:
        return failed(str(error))
    # Read after the values: a key that is added meanwhile is known.
    lines = _lines(_ring(environ))
    for key_id, line in lines.items():
        print(f"{line}  {_counted(usage.by_key[key_id])}")
    unknown = sum(values for key_id, values in usage.by_key.items() if key_id not in lines)
    print(f"in the clear: {usage.in_the_clear}; of unknown keys: {unknown}; damaged: {usage.damaged}")
    return EXIT_FAILED if unknown or usage.damaged else 0


def _still_used(environ: Mapping[str, str], key_id: str) -> str | None:
    """Why a key may be needed; None when it is not."""
    try:
        used = _usage(environ).by_key[bytes.fromhex(key_id)]
    except DependencyUnavailable as error:
        return f"what is stored cannot be seen: {error}"
    return f"{used} stored values still name {key_id}: the workers encrypt them anew" if used else None


def _counted(values: int) -> str:
    return f"{values} values" if values else "unused"


def _usage(environ: Mapping[str, str]) -> KeyUsage:
    # The drivers, for these commands alone.
    from composition.commands.key_usage import stored_key_usage  # noqa: PLC0415

    return stored_key_usage(environ)


def _ring(environ: Mapping[str, str]) -> Ring:
    path = read_configuration(environ).secret_paths[ENCRYPTION_FILE]
    with _configured(ENCRYPTION_FILE):
        return parse_encryption_ring(read_secret(ENCRYPTION_FILE, path)).keys


def _key_of(ring: Ring, key_id: str) -> RingKey | None:
    return next((key for key in ring if _id(key) == key_id), None)


def _lines(ring: Ring) -> Mapping[bytes, str]:
    """A line for each key, by its id."""
    writing = writing_key(ring, SystemClock().now_ms())
    lines = {}
    for key in ring:
        key_id = _id(key)
        state = "writes" if key == writing else "reads"
        kind = "random" if key.salt is None else "passphrase"
        begins = _written(key) if key.writes_from_ms else "-"
        lines[bytes.fromhex(key_id)] = f"{key_id}  {state:6}  {kind:10}  {begins:20}".rstrip()
    return lines


def _changed(environ: Mapping[str, str], file: SecretFile, change: Change, out: Path | None) -> int:
    configuration = read_configuration(environ)
    # The target of a link is replaced, not the link.
    path = configuration.secret_paths[file].resolve()
    try:
        with _locked(path.parent), _configured(file):
            # Read under the lock, since keys begin in the order in which they are added.
            now_ms = SystemClock().now_ms()
            changed = change(read_secret(file, path), configuration.settings, now_ms)
            if isinstance(changed, Enum):
                return failed(changed.value)
            text, said = changed
            if len(text) >= SECRET_BYTES_MAX:
                return failed(RotationRefusal.FULL.value)
            if out is None:
                _replace(path, text)
            else:
                _write_new(out, text)
    except OSError as error:
        return failed(_explained(error, path))
    print(f"{out or path}: {said}")
    return 0


@contextmanager
def _configured(file: SecretFile) -> Iterator[None]:
    """What is wrong with a secret is wrong with the configuration."""
    try:
        yield
    except ValueError as error:
        raise ConfigurationInvalid([f"secret {file.name}: {error}"]) from None


def _passphrase(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
        if text != text.strip() or not text.isprintable():
            raise ValueError(f"{path} holds more than one line, control characters or spaces around its text")
        check_passphrase(path, text)
    except (OSError, ValueError) as error:
        raise ConfigurationInvalid([f"the passphrase: {error}"]) from None
    return text


def _id(key: RingKey) -> str:
    return key_id_of(root_key(key)).hex()


def _written(key: RingKey) -> str:
    begins = datetime.fromtimestamp(key.writes_from_ms / 1000, UTC).isoformat(timespec="seconds")
    return begins.replace("+00:00", "Z")


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Holds the lock of rotations, as two would lose a key. Raises `OSError` when it stays taken."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    give_up_s = time.monotonic() + LOCK_S_MAX
    try:
        while not _is_locked(descriptor):
            if time.monotonic() > give_up_s:
                raise OSError(errno.ETIMEDOUT, "another rotation is under way", str(directory))
            time.sleep(LOCK_INTERVAL_S)
        yield
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _replace(path: Path, text: str) -> None:
    """Replaces a file atomically and durably, and keeps its owner, so that the service may still read it."""
    before = path.stat()
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # Readable by its group where it was so before, and never by others.
        _write(unfinished, text, owner=before, mode=0o600 | before.st_mode & stat.S_IRGRP)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _write_new(path: Path, text: str) -> None:
    try:
        _write(path, text, owner=None, mode=0o600)
    except FileExistsError:
        raise
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _write(path: Path, text: str, *, owner: os.stat_result | None, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        own = os.fstat(stream.fileno())
        if owner is not None and (owner.st_uid, owner.st_gid) != (own.st_uid, own.st_gid):
            os.fchown(stream.fileno(), owner.st_uid, owner.st_gid)
        os.fchmod(stream.fileno(), mode)
        stream.write(text + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def _explained(error: OSError, path: Path) -> str:
    reason = f"{error.filename or path}: {error.strerror}"
    if error.errno in _NOT_REPLACEABLE:
        return (
            f"{reason}; where secrets are mounted read-only, write the new ring elsewhere with --out FILE "
            "and store that where the secret comes from"
        )
    return reason
