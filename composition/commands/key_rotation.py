"""`creditctl keys rotate jwt`: adds a key to the ring, in a file that no reader ever sees half written."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from adapters.runtime.system import SystemClock
from composition.config.load import ConfigurationInvalid, read_configuration
from composition.config.ring_file import parse_ring, ring_text
from composition.config.secrets import JWT_FILE, SECRET_BYTES_MAX, fresh_key, read_secret
from composition.config.settings import Settings
from composition.exit_codes import failed
from domain.encryption.keyring import Ring, RingKey, RotationRefusal, rotated
from domain.identity.tokens import ACCESS_KEY_LIFETIME_MS

LOCK_S_MAX = 10.0
LOCK_INTERVAL_S = 0.02
_NOT_REPLACEABLE = {errno.EROFS, errno.EBUSY, errno.EACCES, errno.EPERM, errno.EXDEV}


def rotate_jwt(environ: Mapping[str, str], *, after_ms: int, forget_old: bool, out: Path | None) -> int:
    """Adds a key that writes after `after_ms`; with `forget_old`, it replaces the ring and writes at once.

    The new ring is written to `out`, where the file of the secret cannot be replaced. The exit code. Raises
    `ConfigurationInvalid`.
    """
    configuration = read_configuration(environ)
    # The target of a link is replaced, not the link.
    settings, path = configuration.settings, configuration.secret_paths[JWT_FILE].resolve()
    try:
        with _locked(path.parent):
            # Read under the lock, since keys begin in the order in which they are added.
            now_ms = SystemClock().now_ms()
            ring = _next_ring(_read(path), settings, now_ms, after_ms=after_ms, forget_old=forget_old)
            if isinstance(ring, RotationRefusal):
                return failed(ring.value)
            if out is None:
                _replace(path, ring_text(ring))
            else:
                _write_new(out, ring_text(ring))
    except OSError as error:
        return failed(_explained(error, path))
    begins = datetime.fromtimestamp(ring[-1].writes_from_ms / 1000, UTC).isoformat(timespec="seconds")
    print(f"{out or path}: {len(ring)} keys; the new one signs from {begins.replace('+00:00', 'Z')} on")
    return 0


def _read(path: Path) -> Ring:
    try:
        return parse_ring(read_secret(JWT_FILE, path))
    except ValueError as error:
        raise ConfigurationInvalid([f"secret {JWT_FILE.name}: {error}"]) from None


def _next_ring(
    ring: Ring, settings: Settings, now_ms: int, *, after_ms: int, forget_old: bool
) -> Ring | RotationRefusal:
    if forget_old:
        return (RingKey(fresh_key(), now_ms),)
    # Refresh tokens live longer than all others.
    lifetime_ms = settings.session_idle_ttl_ms + ACCESS_KEY_LIFETIME_MS
    new = rotated(ring, RingKey(fresh_key(), now_ms + after_ms), now_ms, lifetime_ms=lifetime_ms)
    if not isinstance(new, RotationRefusal) and len(ring_text(new)) > SECRET_BYTES_MAX:
        return RotationRefusal.FULL
    return new


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
