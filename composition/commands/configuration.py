"""`creditctl config check` and `secrets init`: settings and secrets, without a service."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from composition.config.load import found, load_found
from composition.config.secrets import write_secrets
from composition.config.settings import StoreName

EXIT_FAILED = 1


def check_configuration(environ: Mapping[str, str]) -> int:
    """Says that all is good. Raises `ConfigurationInvalid`, as a start would."""
    everything, _ = load_found(environ, StoreName.LIVE)
    print(everything.summary())
    return 0


def init_secrets(environ: Mapping[str, str], *, directory: Path | None) -> int:
    """Writes each secret that is missing to where a start with the same settings reads it.

    `directory` stands in for `CREDIT_SECRETS_DIR`; a path of its own, `NAME_FILE`, is kept. Raises
    `ConfigurationInvalid`.
    """
    try:
        for path, is_written in write_secrets(found(environ, secrets_directory=directory).secret_paths):
            print(f"{'wrote' if is_written else 'kept'} {path}")
    except OSError as error:
        print(f"creditctl: {error.filename}: {error.strerror}", file=sys.stderr)
        return EXIT_FAILED
    return 0
