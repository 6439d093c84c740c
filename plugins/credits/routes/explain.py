"""What a balance is made of, in one answer whose sums add up."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from adapters.web import Answer, Call, Problem, Route, rfc3339
from application.ledger.service import GrantView
from domain.ledger.account import AccountState, ActiveHold, ScheduledGrant
from domain.ledger.lots import Lot, total
from plugins.credits.answers import entry_answer, parts, time_or_none
from plugins.credits.bodies import ExplainQuery
from plugins.credits.route_problems import OF_ACCOUNT
from plugins.credits.routes.desk import MAY_READ, Desk
from plugins.credits.shapes import (
    EntryAnswer,
    ExplainAnswer,
    ExplainedGrant,
    ExplainedHold,
    PlainPart,
    ScheduledGrantAnswer,
)
from ports.errors import DependencyUnavailable

GRANTS_AT_ONCE: Final = 64
"""Grants looked up together: they share one look at the journal's tail."""


class ExplainRoutes:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ledger = desk.ledger

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/credits/accounts/<account_id>/explain", "explain_account", MAY_READ,
                  self.explain, query=ExplainQuery, answer=ExplainAnswer, problems=OF_ACCOUNT,
                  tags=("accounts",),
                  summary="Which grants, holds and transfers make up the balance"),
        ]  # fmt: skip

    async def explain(self, call: Call[None, ExplainQuery]) -> Answer | Problem:
        state = await self._desk.account(call, call.query.asset)
        if isinstance(state, Problem):
            return state
        as_of_ms = self._ledger.now_ms()
        book = call.caller.book
        entries, _ = await self._ledger.entries(book, state, limit=call.query.limit, before=None)
        views = await self._grants(book, state.holdings.lots)
        return Answer(200, explanation(state, views, [entry_answer(entry) for entry in entries], as_of_ms))

    async def _grants(self, book: str, lots: tuple[Lot, ...]) -> dict[str, GrantView]:
        """What never changes of the grants; what is left of them stands in the account's lots."""
        found: dict[str, GrantView] = {}
        failure: DependencyUnavailable | None = None
        for start in range(0, len(lots), GRANTS_AT_ONCE):
            tasks = [
                self._desk.runtime.start(
                    partial(self._ledger.grant_state, book, lot.grant), name="explain a grant"
                )
                for lot in lots[start : start + GRANTS_AT_ONCE]
            ]
            for task in tasks:
                # Each is waited for, failed or not: a failure that nobody hears is reported as a fault.
                try:
                    view = await task.wait()
                except DependencyUnavailable as error:
                    failure = error
                else:
                    if view is not None:
                        found[view.grant.id] = view
            if failure is not None:
                raise failure
        return found


def explanation(
    state: AccountState, views: dict[str, GrantView], transfers: list[EntryAnswer], as_of_ms: int
) -> ExplainAnswer:
    account, lots = state.account, state.holdings.lots
    plain_posted = state.posted - sum(lot.remaining for lot in lots)
    plain_held = state.held - sum(lot.held for lot in lots)
    return ExplainAnswer(
        id=account.id,
        asset=account.asset,
        user_id=account.user_id,
        posted=state.posted,
        held=state.held,
        available=state.available,
        overdraft_limit=account.overdraft_limit,
        seq=state.seq,
        as_of=rfc3339(as_of_ms),
        grants=[_explained(lot, views[lot.grant]) for lot in lots],
        plain=PlainPart(posted=plain_posted, held=plain_held, available=plain_posted - plain_held),
        holds=[_hold(hold) for hold in state.holdings.holds],
        scheduled=[_scheduled(grant) for grant in state.holdings.scheduled],
        transfers=transfers,
    )


def _explained(lot: Lot, view: GrantView) -> ExplainedGrant:
    status: Any = lot.ended or "active"
    grant = view.grant
    return ExplainedGrant(
        id=lot.grant,
        amount=grant.amount,
        used=grant.amount - lot.remaining,
        remaining=lot.remaining,
        held=lot.held,
        available=lot.remaining - lot.held,
        status=status,
        priority=lot.priority,
        category=lot.category,
        code=grant.code,
        recorded_at=rfc3339(grant.recorded_ms),
        expires_at=time_or_none(lot.expires_ms),
    )


def _hold(hold: ActiveHold) -> ExplainedHold:
    return ExplainedHold(
        id=hold.id,
        remaining=hold.remaining,
        funding=parts(hold.funding),
        plain=hold.remaining - total(hold.funding),
        expires_at=rfc3339(hold.expires_ms),
    )


def _scheduled(grant: ScheduledGrant) -> ScheduledGrantAnswer:
    terms = grant.terms
    return ScheduledGrantAnswer(
        id=grant.id,
        amount=grant.amount,
        priority=terms.priority,
        category=terms.category,
        code=grant.code,
        effective_at=rfc3339(terms.effective_ms or 0),
        expires_at=time_or_none(terms.expires_ms),
    )
