"""The version of the service, which its built-in plugins share."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

DISTRIBUTION = "credit-system"


def service_version() -> str:
    """Of the installed distribution; a bare checkout has none."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"
