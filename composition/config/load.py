"""Loads settings and secrets for every command, or lists every problem with them at once.

An option of the command takes precedence over the environment, the environment over the configuration file,
and the file over the default. A problem never shows the value of a secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from composition.config.secrets import VARIABLES, SecretFile, Secrets, load_secrets, new_secrets, secret_paths
from composition.config.settings import TABLE, MongoDriverName, Settings, StoreName, settings_of
from composition.config.sources import read_sources

KNOWN = frozenset((*(setting.variable for setting in TABLE), *VARIABLES))
"""Every name that the environment or the file may set."""


class ConfigurationInvalid(Exception):
    """The service cannot start like this. Each problem names a setting or a file and its remedy."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))

    def listing(self) -> str:
        """The problems for a terminal, one a line."""
        count = len(self.problems)
        head = f"configuration: {count} problem{'' if count == 1 else 's'}"
        return "\n".join([head, *(f"  - {problem}" for problem in self.problems)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The settings in force, the path of each secret, and the unknown names that the environment holds."""

    settings: Settings
    secret_paths: Mapping[SecretFile, Path]
    ignored: tuple[str, ...]

    def summary(self) -> str:
        """One line about a configuration without problems."""
        return "; ".join([f"settings and {len(self.secret_paths)} secrets are good", *self.notes()])

    def notes(self) -> list[str]:
        """Possible mistakes that are no problems."""
        return [f"ignored, since no settings: {', '.join(self.ignored)}"] if self.ignored else []


def collect(
    environ: Mapping[str, str], problems: list[str], *, secrets_directory: Path | None = None
) -> Configuration:
    """Reads environment and file, but no secret. Appends every problem to `problems`."""
    sources = read_sources(environ, KNOWN, problems)
    settings = settings_of(sources.texts, problems)
    paths = secret_paths(secrets_directory or settings.secrets_dir, sources.texts, problems)
    return Configuration(settings=settings, secret_paths=paths, ignored=sources.ignored)


def read_configuration(environ: Mapping[str, str], *, secrets_directory: Path | None = None) -> Configuration:
    """`collect` for a command that cannot go on with a problem. Raises `ConfigurationInvalid`."""
    problems: list[str] = []
    configuration = collect(environ, problems, secrets_directory=secrets_directory)
    if problems:
        raise ConfigurationInvalid(problems)
    return configuration


def load(environ: Mapping[str, str], store: StoreName) -> tuple[Settings, Secrets]:
    """The settings and the secrets for a store. Raises `ConfigurationInvalid`.

    The memory store gets fresh secrets that are written nowhere: nothing that they protect outlives the
    process.
    """
    configuration, secrets = load_configuration(environ, store)
    return configuration.settings, secrets


def load_configuration(
    environ: Mapping[str, str], store: StoreName, *, drivers: bool = True
) -> tuple[Configuration, Secrets]:
    """The whole configuration and the secrets. Raises `ConfigurationInvalid`.

    With `drivers`, the drivers of the live store check their addresses, for which they are imported.
    """
    problems: list[str] = []
    configuration = collect(environ, problems)
    if store is StoreName.MEMORY:
        secrets: Secrets | None = new_secrets()
    else:
        secrets = load_secrets(configuration.secret_paths, problems)
        problems.extend(_problems_of_live_store(configuration.settings, drivers=drivers))
    if problems or secrets is None:
        raise ConfigurationInvalid(problems)
    return configuration, secrets


def _problems_of_live_store(settings: Settings, *, drivers: bool) -> list[str]:
    if settings.mongo_driver is MongoDriverName.MOTOR and find_spec("motor") is None:
        return ["CREDIT_MONGO_DRIVER: motor is not installed: pip install 'credit-system[motor]'"]
    if not drivers:
        return []
    from adapters.mongo.driver.address import address_problem as mongo_problem  # noqa: PLC0415 - costs an import
    from adapters.redis.driver.address import address_problem as redis_problem  # noqa: PLC0415

    return [
        f"{name}: {problem}"
        for name, problem in (
            ("CREDIT_MONGO_URL", mongo_problem(settings.mongo_url)),
            ("CREDIT_REDIS_URL", redis_problem(settings.redis_url)),
        )
        if problem is not None
    ]
