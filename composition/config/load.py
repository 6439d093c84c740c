"""Settings and secrets for every command, or one list of everything that is wrong with them.

An option of the command wins over the environment, that over the configuration file, and that over the
default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from composition.config.problems import ConfigurationInvalid
from composition.config.secrets import VARIABLES, SecretFile, Secrets, load_secrets, new_secrets, secret_paths
from composition.config.settings import TABLE, MongoDriverName, Settings, StoreName, settings_of
from composition.config.sources import read_sources

KNOWN = frozenset((*(setting.variable for setting in TABLE), *VARIABLES))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSources:
    """The settings in force, where each secret lies, and names in the environment that mean nothing to us."""

    settings: Settings
    secret_paths: Mapping[SecretFile, Path]
    ignored: tuple[str, ...]

    def summary(self) -> str:
        """One line, once they proved good."""
        return "; ".join([f"settings and {len(self.secret_paths)} secrets are good", *self.notes()])

    def notes(self) -> list[str]:
        """What is no problem and may be a mistake."""
        return [f"ignored, since no settings: {', '.join(self.ignored)}"] if self.ignored else []


def find(
    environ: Mapping[str, str], problems: list[str], *, secrets_directory: Path | None = None
) -> LoadedSources:
    """Reads no secret. Each problem is appended to `problems`."""
    sources = read_sources(environ, KNOWN, problems)
    settings = settings_of(sources.given, problems)
    paths = secret_paths(secrets_directory or settings.secrets_dir, sources.given, problems)
    return LoadedSources(settings=settings, secret_paths=paths, ignored=sources.ignored)


def found(environ: Mapping[str, str], *, secrets_directory: Path | None = None) -> LoadedSources:
    """The same for commands that go no further with a problem. Raises `ConfigurationInvalid`."""
    problems: list[str] = []
    settings = find(environ, problems, secrets_directory=secrets_directory)
    if problems:
        raise ConfigurationInvalid(problems)
    return settings


def load(environ: Mapping[str, str], store: StoreName) -> tuple[Settings, Secrets]:
    """The memory store gets secrets that nobody keeps, since nothing that they protect outlives it.

    Raises `ConfigurationInvalid`.
    """
    everything, secrets = load_found(environ, store)
    return everything.settings, secrets


def load_found(
    environ: Mapping[str, str], store: StoreName, *, drivers: bool = True
) -> tuple[LoadedSources, Secrets]:
    """The same, and what was found besides. Without `drivers` the addresses of the live store are not shown
    to its drivers, which takes their import. Raises `ConfigurationInvalid`."""
    problems: list[str] = []
    everything = find(environ, problems)
    if store is StoreName.MEMORY:
        secrets: Secrets | None = new_secrets()
    else:
        secrets = load_secrets(everything.secret_paths, problems)
        problems.extend(_of_live_store(everything.settings, drivers=drivers))
    if problems or secrets is None:
        raise ConfigurationInvalid(problems)
    return everything, secrets


def _of_live_store(settings: Settings, *, drivers: bool) -> list[str]:
    if settings.mongo_driver is MongoDriverName.MOTOR and find_spec("motor") is None:
        return ["CREDIT_MONGO_DRIVER: motor is not installed: pip install 'credit-system[motor]'"]
    if not drivers:
        return []
    from adapters.mongo.driver.address import address_problem as mongo_problem  # noqa: PLC0415 - see above
    from adapters.redis.driver.address import address_problem as redis_problem  # noqa: PLC0415

    return [
        f"{name}: {problem}"
        for name, problem in (
            ("CREDIT_MONGO_URL", mongo_problem(settings.mongo_url)),
            ("CREDIT_REDIS_URL", redis_problem(settings.redis_url)),
        )
        if problem is not None
    ]
