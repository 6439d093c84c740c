"""What `creditctl bans` and `creditctl limits` share: an identifier as an argument, and a ban as a line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

from composition.commands.live_store import on_live_store
from composition.exit_codes import EXIT_USAGE, failed
from composition.wiring.use_cases import UseCases
from domain.limits.bans import Ban
from domain.limits.identifiers import Identifier, IdentifierProblem, IdentifierType, identify


def on_identifier(
    environ: Mapping[str, str], kind: str, text: str, act: Callable[[UseCases, Identifier], Awaitable[int]]
) -> int:
    """Runs `act` on an identifier in the live store, and writes its audit events. The exit code."""
    identifier = identify(IdentifierType(kind), text)
    if isinstance(identifier, IdentifierProblem):
        return wrong_usage(f"{text!r} is {identifier.value}")

    async def act_and_flush(use_cases: UseCases) -> int:
        code = await act(use_cases, identifier)
        await use_cases.audit_trail.flush()
        return code

    return on_live_store(environ, act_and_flush)


def wrong_usage(reason: str) -> int:
    """Prints the reason. `EXIT_USAGE`."""
    failed(reason)
    return EXIT_USAGE


def ban_line(ban: Ban) -> str:
    """A ban as one line: type, identifier, end, level, reason."""
    who = f"{ban.identifier.type.value} {ban.identifier.value}"
    return f"{who} until {_time(ban.until_ms)} level {ban.level} {ban.reason}"


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
