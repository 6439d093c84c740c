"""`creditctl config check` and `creditctl secrets init`: settings and secrets, without a service."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from composition.config.load import load_configuration, read_configuration
from composition.config.secrets import write_secrets
from composition.config.settings import StoreName
from composition.exit_codes import failed


def check_configuration(environ: Mapping[str, str]) -> int:
    """Prints a summary of a good configuration. The exit code. Raises `ConfigurationInvalid`."""
    configuration, _ = load_configuration(environ, StoreName.LIVE)
    print(configuration.summary())
    return 0


def init_secrets(environ: Mapping[str, str], *, directory: Path | None) -> int:
    """Writes each missing secret to where a start with the same settings reads it. The exit code.

    `directory` replaces `CREDIT_SECRETS_DIR`, but no path of a single secret (`NAME_FILE`). Raises
    `ConfigurationInvalid`.
    """
    try:
        configuration = read_configuration(environ, secrets_directory=directory)
        for path, is_written in write_secrets(configuration.secret_paths):
            print(f"{'wrote' if is_written else 'kept'} {path}")
    except OSError as error:
        return failed(f"{error.filename}: {error.strerror}")
    return 0
