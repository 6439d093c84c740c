"""Settings and secrets for a command, or one list of everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping

from composition.configuration import ConfigurationInvalid
from composition.secrets import VARIABLES, Secrets, load_secrets, new_secrets
from composition.settings import Settings, load_settings
from composition.stores import StoreName


def load(environ: Mapping[str, str], store: StoreName) -> tuple[Settings, Secrets]:
    """The memory store gets secrets that nobody keeps, since nothing that they protect outlives it.

    Raises `ConfigurationInvalid`.
    """
    problems: list[str] = []
    settings = load_settings(environ, problems, other_names=VARIABLES)
    if store is StoreName.MEMORY:
        secrets: Secrets | None = new_secrets()
    else:
        secrets = load_secrets(settings.secrets_dir, environ, problems)
    if problems or secrets is None:
        raise ConfigurationInvalid(problems)
    return settings, secrets
