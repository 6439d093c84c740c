"""The nine secrets of the service: read from files by strict rules, and written once.

The content of a file, without one trailing line end, is the secret. No problem, `repr` or log shows its
value.
"""

from __future__ import annotations

import os
import secrets as entropy
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from composition.config.parsers import path as parse_path
from composition.config.ring_file import parse_encryption_ring, parse_ring
from composition.config.sources import ENVIRONMENT, SourcedText
from domain.encryption.keyring import EncryptionRing

SECRET_BYTES_MAX = 4096
KEY_BYTES_MIN = 32
KEY_DISTINCT_BYTES_MIN = 12
PASSPHRASE_BYTES_MIN = 20
PASSPHRASE_DISTINCT_BYTES_MIN = 8
PASSWORD_BYTES_MIN = 12
PASSWORD_DISTINCT_BYTES_MIN = 5

_PLACEHOLDERS = (
    *("changeme", "change-me", "change_me", "replaceme", "replace-me", "replace_me", "insert-", "todo"),
    *("placeholder", "example", "password", "secret", "default", "your-", "your_", "xxxx"),
)
_SEQUENCE = "0123456789abcdefghijklmnopqrstuvwxyz0123456789"


class SecretKind(Enum):
    USER = "user"
    PASSWORD = "password"
    RING = "ring"
    """A key, or a ring of keys in the format of `composition.config.ring_file`."""
    ENCRYPTION_RING = "encryption ring"
    """The same, with passphrases among the keys and an index root beside them."""


@dataclass(frozen=True, slots=True)
class SecretFile:
    """One secret. `user` is the user name that `creditctl secrets init` writes."""

    name: str
    kind: SecretKind
    description: str
    user: str = ""

    @property
    def variables(self) -> tuple[str, str]:
        """The environment variables that may name another path. Two that disagree are a problem."""
        variable = f"{self.name.upper()}_FILE"
        return variable, f"CREDIT_{variable}"


FILES: tuple[SecretFile, ...] = (
    SecretFile("mongodb_user", SecretKind.USER, "the role that reads and writes", "credit_app"),
    SecretFile("mongodb_password", SecretKind.PASSWORD, "its password"),
    SecretFile("mongodb_analytics_user", SecretKind.USER, "the role that only reads", "credit_analytics"),
    SecretFile("mongodb_analytics_password", SecretKind.PASSWORD, "its password"),
    SecretFile("mongodb_admin_user", SecretKind.USER, "the role that makes indexes", "credit_admin"),
    SecretFile("mongodb_admin_password", SecretKind.PASSWORD, "its password"),
    SecretFile("redis_password", SecretKind.PASSWORD, "Redis"),
    SecretFile("jwt_secret", SecretKind.RING, "signs tokens; at least 32 bytes, or a ring of such keys"),
    SecretFile("encryption_key", SecretKind.ENCRYPTION_RING,
               "root of every encryption key; at least 32 bytes, or a ring of such keys and passphrases"),
)  # fmt: skip
JWT_FILE = next(file for file in FILES if file.name == "jwt_secret")
ENCRYPTION_FILE = next(file for file in FILES if file.name == "encryption_key")
VARIABLES: tuple[str, ...] = tuple(variable for file in FILES for variable in file.variables)


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """The values, hidden from `repr`."""

    mongodb_user: str = field(repr=False)
    mongodb_password: str = field(repr=False)
    mongodb_analytics_user: str = field(repr=False)
    mongodb_analytics_password: str = field(repr=False)
    mongodb_admin_user: str = field(repr=False)
    mongodb_admin_password: str = field(repr=False)
    redis_password: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    encryption_key: str = field(repr=False)
    """The content of the file; what hangs on it hangs on `index_root`, or on a key of `encryption_ring`."""
    jwt_file: Path | None = None
    """The file of `jwt_secret`; None for a secret without a file."""
    encryption_file: Path | None = None

    @property
    def encryption_ring(self) -> EncryptionRing:
        """The keys of stored fields."""
        return parse_encryption_ring(self.encryption_key)

    @property
    def index_root(self) -> str:
        """The root of everything that no rotation changes."""
        return self.encryption_ring.index_root


def secret_paths(
    directory: Path, texts: Mapping[str, SourcedText], problems: list[str]
) -> Mapping[SecretFile, Path]:
    """The path of each of the nine. Appends each problem to `problems`."""
    paths = {}
    for file in FILES:
        try:
            paths[file] = secret_path(file, directory, texts)
        except ValueError as error:
            problems.append(f"secret {file.name}: {error}")
    return paths


def load_secrets(paths: Mapping[SecretFile, Path], problems: list[str]) -> Secrets | None:
    """All nine, or None when one of them has a problem. Appends each problem to `problems`."""
    contents: dict[str, Any] = {}
    for file, path in paths.items():
        try:
            contents[file.name] = read_secret(file, path)
        except ValueError as error:
            problems.append(f"secret {file.name}: {error}")
    if len(contents) < len(FILES):
        return None
    return Secrets(**contents, jwt_file=paths[JWT_FILE], encryption_file=paths[ENCRYPTION_FILE])


def new_secrets() -> Secrets:
    """Fresh random secrets, as `creditctl secrets init` writes them and a demo throws them away."""
    fresh: dict[str, Any] = {file.name: _fresh(file) for file in FILES}
    return Secrets(**fresh)


def write_secrets(paths: Mapping[SecretFile, Path]) -> Iterator[tuple[Path, bool]]:
    """Writes the missing files with mode 0600, into directories that it makes with mode 0700.

    Yields each path, and whether the file was written, at once. Never overwrites a file, not even an empty
    one. Raises `OSError`, which names the path.
    """
    for file, path in paths.items():
        if not path.parent.exists():
            path.parent.mkdir(parents=True)
            path.parent.chmod(0o700)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            yield path, False
            continue
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            os.fchmod(stream.fileno(), 0o600)
            stream.write(_fresh(file) + "\n")
        yield path, True


def fresh_key() -> str:
    """384 random bits, as text."""
    return entropy.token_urlsafe(48)


def _fresh(file: SecretFile) -> str:
    return file.user if file.kind is SecretKind.USER else fresh_key()


def secret_path(file: SecretFile, directory: Path, texts: Mapping[str, SourcedText]) -> Path:
    """The path of one secret. Raises `ValueError` when one source names two."""
    named = [texts[variable] for variable in file.variables if variable in texts]
    # A path from the environment, under either name, takes precedence over both names in the file.
    chosen = [each for each in named if each.source == ENVIRONMENT] or named
    named_paths = {each.text.strip() for each in chosen} - {""}
    if len(named_paths) > 1:
        raise ValueError(f"{' and '.join(file.variables)} name different files")
    return parse_path(named_paths.pop()) if named_paths else directory / file.name


def read_secret(file: SecretFile, path: Path) -> str:
    """The secret in a file. Raises `ValueError`, whose message quotes nothing of the content."""
    try:
        # Non-blocking, so that a named pipe in place of the file does not hang the start.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ValueError(f"{path} is not a regular file")
            if status.st_mode & stat.S_IWOTH:
                raise ValueError(f"{path} is writable by everybody; chmod o-w it")
            content = stream.read(SECRET_BYTES_MAX + 1)
    except FileNotFoundError:
        raise ValueError(f"{path} is missing; `creditctl secrets init` writes it") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    return _checked(file, path, content)


def _checked(file: SecretFile, path: Path, content: bytes) -> str:
    if len(content) > SECRET_BYTES_MAX:
        raise ValueError(f"{path} is larger than {SECRET_BYTES_MAX} bytes")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text.strip():
        raise ValueError(f"{path} is empty")
    if text != text.strip() or not text.isprintable():
        raise ValueError(f"{path} holds more than one line, control characters or spaces around its text")
    match file.kind:
        case SecretKind.RING | SecretKind.ENCRYPTION_RING:
            _check_ring(file, path, text)
        case SecretKind.PASSWORD:
            _check_strength(path, text, PASSWORD_BYTES_MIN, PASSWORD_DISTINCT_BYTES_MIN)
        case SecretKind.USER:
            pass
    return text


def _check_ring(file: SecretFile, path: Path, text: str) -> None:
    try:
        if file.kind is SecretKind.RING:
            keys, index_root = parse_ring(text), None
        else:
            ring = parse_encryption_ring(text)
            keys, index_root = ring.keys, ring.index_root
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    for secret in (index_root, *(key.secret for key in keys if key.salt is None)):
        if secret is not None:
            _check_strength(path, secret, KEY_BYTES_MIN, KEY_DISTINCT_BYTES_MIN)
    for key in keys:
        if key.salt is not None:
            check_passphrase(path, key.secret)


def check_passphrase(path: Path, text: str) -> None:
    """Raises `ValueError` for a passphrase that is weak: it is guessed at, however slowly."""
    _check_strength(path, text, PASSPHRASE_BYTES_MIN, PASSPHRASE_DISTINCT_BYTES_MIN)


def _check_strength(path: Path, text: str, least: int, distinct: int) -> None:
    if _is_placeholder(text):
        raise ValueError(f"{path} is a placeholder")
    if len(text.encode()) < least:
        raise ValueError(f"{path} is too short: at least {least} bytes")
    if len(set(text.encode())) < distinct:
        raise ValueError(f"{path} is a placeholder: at least {distinct} different characters")


def _is_placeholder(text: str) -> bool:
    """Whether a text is a known placeholder, a sequence or a repetition. Random text practically never is."""
    lowered = text.lower()
    if any(lowered.startswith(word) or lowered.endswith(word) for word in _PLACEHOLDERS):
        return True
    if lowered in _SEQUENCE or lowered in _SEQUENCE[::-1]:
        return True
    # A text made of one repeated piece occurs inside of its own double.
    return lowered in (lowered + lowered)[1:-1]
