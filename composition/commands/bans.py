"""`creditctl bans …` on the live store."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from application.limits.moderation import BAN_SECONDS_MAX, REASON_RULE, BanRejection, is_reason
from composition.commands.identifiers import ban_line, on_identifier, wrong_usage
from composition.commands.live_store import PAGE_ITEMS, on_live_store, operator
from composition.exit_codes import failed
from composition.wiring.use_cases import UseCases
from domain.limits.bans import Ban
from domain.limits.identifiers import Identifier
from plugins.admin.routes.bans import ban_view


def list_bans(environ: Mapping[str, str], *, as_json: bool) -> int:
    """Prints each ban as a line (type, identifier, end, level, reason), or all as JSON. The exit code."""

    async def act(use_cases: UseCases) -> int:
        bans: list[Ban] = []
        page = await use_cases.moderation.list_bans(limit=PAGE_ITEMS)
        while page is not None:
            bans += page.items
            cursor = page.next_cursor
            if cursor is None:
                break
            page = await use_cases.moderation.list_bans(limit=PAGE_ITEMS, cursor=cursor)
        if as_json:
            print(msgspec.json.encode([ban_view(ban) for ban in bans]).decode())
        for ban in bans if not as_json else ():
            print(ban_line(ban))
        return 0

    return on_live_store(environ, act)


def add_ban(environ: Mapping[str, str], kind: str, text: str, *, seconds: int | None, reason: str) -> int:
    """Bans an identifier and prints the ban. The exit code."""
    if seconds is not None and not 1 <= seconds <= BAN_SECONDS_MAX:
        return wrong_usage(f"--seconds is from 1 to {BAN_SECONDS_MAX}")
    if not is_reason(reason):
        return wrong_usage(f"--reason is {REASON_RULE}")

    async def act(use_cases: UseCases, identifier: Identifier) -> int:
        ban = await use_cases.moderation.ban(identifier, seconds=seconds, reason=reason, context=operator())
        if isinstance(ban, BanRejection):
            return failed(ban.value)
        print(ban_line(ban))
        return 0

    return on_identifier(environ, kind, text, act)


def lift_ban(environ: Mapping[str, str], kind: str, text: str) -> int:
    """Lifts a ban; running workers follow within 5 s. The exit code."""

    async def act(use_cases: UseCases, identifier: Identifier) -> int:
        if await use_cases.moderation.unban(identifier, operator()):
            return 0
        return failed(f"{identifier.type.value} {identifier.value} is not banned")

    return on_identifier(environ, kind, text, act)
