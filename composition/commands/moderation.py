"""`creditctl bans` and `creditctl limits`, on the live store and without a server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

import msgspec

from application.limits.moderation import BAN_SECONDS_MAX, REASON_RULE, BanRejection, Limits, is_reason
from composition.commands.administration import EXIT_USAGE, PAGE, on_live_store, operator, refused
from composition.wiring.build import UseCases
from domain.limits.bans import Ban
from domain.limits.identifiers import Identifier, IdentifierProblem, IdentifierType, identify
from plugins.admin.routes.bans import BanView, ban_view
from plugins.admin.routes.limits import limits_view


def list_bans(environ: Mapping[str, str], *, as_json: bool) -> int:
    """One line a ban: type, identifier, end, level, reason; as JSON one array."""

    async def act(use_cases: UseCases) -> int:
        bans: list[Ban] = []
        page = await use_cases.moderation.list_bans(limit=PAGE)
        while page is not None:
            bans += page.items
            cursor = page.next_cursor
            if cursor is None:
                break
            page = await use_cases.moderation.list_bans(limit=PAGE, cursor=cursor)
        if as_json:
            print(_json([ban_view(ban) for ban in bans]))
        for ban in bans if not as_json else ():
            print(_line(ban))
        return 0

    return on_live_store(environ, act)


def add_ban(environ: Mapping[str, str], kind: str, text: str, *, seconds: int | None, reason: str) -> int:
    """Prints the ban."""
    if seconds is not None and not 1 <= seconds <= BAN_SECONDS_MAX:
        return _wrong(f"--seconds is from 1 to {BAN_SECONDS_MAX}")
    if not is_reason(reason):
        return _wrong(f"--reason is {REASON_RULE}")

    async def act(use_cases: UseCases, identifier: Identifier) -> int:
        ban = await use_cases.moderation.ban(identifier, seconds=seconds, reason=reason, context=operator())
        if isinstance(ban, BanRejection):
            return refused(ban.value)
        print(_line(ban))
        return 0

    return _about(environ, kind, text, act)


def lift_ban(environ: Mapping[str, str], kind: str, text: str) -> int:
    """Running workers follow within 5 s."""

    async def act(use_cases: UseCases, identifier: Identifier) -> int:
        if await use_cases.moderation.unban(identifier, operator()):
            return 0
        return refused(f"{identifier.type.value} {identifier.value} is not banned")

    return _about(environ, kind, text, act)


def show_limits(environ: Mapping[str, str], kind: str, text: str, *, as_json: bool) -> int:
    """One line a policy, then violations and the ban."""

    async def act(use_cases: UseCases, identifier: Identifier) -> int:
        limits = await use_cases.moderation.get_limits(identifier)
        print(_json(limits_view(limits)) if as_json else _lines(limits))
        return 0

    return _about(environ, kind, text, act)


def clear_limits(environ: Mapping[str, str], kind: str, text: str) -> int:
    async def act(use_cases: UseCases, identifier: Identifier) -> int:
        await use_cases.moderation.clear_limits(identifier, operator())
        return 0

    return _about(environ, kind, text, act)


def _about(
    environ: Mapping[str, str], kind: str, text: str, act: Callable[[UseCases, Identifier], Awaitable[int]]
) -> int:
    """What is done must be in the audit log before the command ends well."""
    identifier = identify(IdentifierType(kind), text)
    if isinstance(identifier, IdentifierProblem):
        return _wrong(f"{text!r} is {identifier.value}")

    async def acted(use_cases: UseCases) -> int:
        code = await act(use_cases, identifier)
        await use_cases.audit_trail.flush()
        return code

    return on_live_store(environ, acted)


def _wrong(reason: str) -> int:
    refused(reason)
    return EXIT_USAGE


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _json(value: msgspec.Struct | list[BanView]) -> str:
    return msgspec.json.encode(value).decode()


def _line(ban: Ban) -> str:
    who = f"{ban.identifier.type.value} {ban.identifier.value}"
    return f"{who} until {_time(ban.until_ms)} level {ban.level} {ban.reason}"


def _lines(limits: Limits) -> str:
    windows = [
        f"{window.policy.name} {window.used} of {window.policy.limit} in {window.policy.period_ms / 1000:g} s"
        for window in limits.windows
    ]
    ban = "not banned" if limits.ban is None else _line(limits.ban)
    return "\n".join([*windows, f"violations {limits.violations}", ban])
