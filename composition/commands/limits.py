"""`creditctl limits …` on the live store."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from application.limits.moderation import Limits
from composition.commands.identifiers import ban_line, on_identifier
from composition.commands.live_store import operator
from composition.wiring.use_cases import UseCases
from domain.limits.identifiers import Identifier
from plugins.admin.routes.limits import limits_view


def show_limits(environ: Mapping[str, str], kind: str, text: str, *, as_json: bool) -> int:
    """Prints one line for each policy, then violations and the ban; or JSON. The exit code."""

    async def act(use_cases: UseCases, identifier: Identifier) -> int:
        limits = await use_cases.moderation.get_limits(identifier)
        print(msgspec.json.encode(limits_view(limits)).decode() if as_json else _lines(limits))
        return 0

    return on_identifier(environ, kind, text, act)


def clear_limits(environ: Mapping[str, str], kind: str, text: str) -> int:
    """Forgets the windows and violations of an identifier. The exit code."""

    async def act(use_cases: UseCases, identifier: Identifier) -> int:
        await use_cases.moderation.clear_limits(identifier, operator())
        return 0

    return on_identifier(environ, kind, text, act)


def _lines(limits: Limits) -> str:
    windows = [
        f"{window.policy.name} {window.used} of {window.policy.limit} in {window.policy.period_ms / 1000:g} s"
        for window in limits.windows
    ]
    ban = "not banned" if limits.ban is None else ban_line(limits.ban)
    return "\n".join([*windows, f"violations {limits.violations}", ban])
