"""What a balance is made of, in one answer whose sums add up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from application.ledger.history import EntryPosition
from application.ledger.labels import Label
from credit_system import AccountState, Answer, Call, Lot, PastState, Problem, Route, rfc3339
from domain.ledger.account import ActiveHold, ScheduledGrant
from domain.ledger.lots import total
from domain.ledger.subjects import GrantState
from plugins.credits.answers import entry_answer, metadata_of, parts, time_or_none
from plugins.credits.bodies import ExplainQuery
from plugins.credits.refusals import invalid_field, no_account, problem_of
from plugins.credits.route_problems import OF_ACCOUNT
from plugins.credits.routes.support import MAY_READ, CreditRouteSupport
from plugins.credits.shapes import (
    DatedBack,
    EntryAnswer,
    ExplainAnswer,
    ExplainedGrant,
    ExplainedHold,
    PlainPart,
    ScheduledGrantAnswer,
)


class ExplainRoutes:
    def __init__(self, support: CreditRouteSupport) -> None:
        self._support = support
        self._ledger = support.ledger

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/credits/accounts/<account_id>/explain", "explain_account", MAY_READ,
                  self.explain, query=ExplainQuery, answer=ExplainAnswer, problems=OF_ACCOUNT,
                  tags=("accounts",),
                  summary="Which grants, holds and transfers make up the balance"),
        ]  # fmt: skip

    async def explain(self, call: Call[None, ExplainQuery]) -> Answer | Problem:
        state = await self._support.account(call, call.query.asset)
        if isinstance(state, Problem):
            return state
        at_ms, now_ms, book = call.query.at_ms, self._ledger.now_ms(), call.caller.book
        past = PastState(state, 0)
        before = None
        if at_ms is not None:
            if at_ms > now_ms:
                return invalid_field("at", "`at` lies in the future.")
            by_effect = call.query.basis == "effective"
            found = await self._ledger.account_at(book, state, at_ms, by_effect=by_effect)
            if found is None:
                return problem_of(no_account(state.account.id))
            past, before = found, EntryPosition(found.state.seq + 1, 0)
        entries, _ = await self._ledger.entries(book, state, limit=call.query.limit, before=before)
        # What never changes of them; what is left of each stands in the account's lots.
        grants = await self._ledger.grants(book, [lot.grant for lot in past.state.holdings.lots])
        holds = await self._ledger.labels_of_holds(book, [hold.id for hold in past.state.holdings.holds])
        back = past.dated_back[: call.query.limit]
        return Answer(
            200,
            explanation(
                past.state,
                Terms(grants, holds),
                DatedBack(posted=past.adjusted, transfers=[entry_answer(entry) for entry in back]),
                [entry_answer(entry) for entry in entries],
                now_ms if at_ms is None else at_ms,
            ),
        )


class Terms(NamedTuple):
    """What an account's grants and holds were made as, by their ids."""

    grants: Mapping[str, GrantState]
    holds: Mapping[str, Label]


def explanation(
    state: AccountState, terms: Terms, dated_back: DatedBack, transfers: list[EntryAnswer], as_of_ms: int
) -> ExplainAnswer:
    account, lots = state.account, state.holdings.lots
    plain_posted = state.posted - sum(lot.remaining for lot in lots)
    plain_held = state.held - sum(lot.held for lot in lots)
    return ExplainAnswer(
        id=account.id,
        asset=account.asset,
        user_id=account.user_id,
        posted=state.posted + dated_back.posted,
        held=state.held,
        available=state.available,
        overdraft_limit=account.overdraft_limit,
        seq=state.seq,
        as_of=rfc3339(as_of_ms),
        grants=[_explained(lot, terms.grants[lot.grant]) for lot in lots],
        plain=PlainPart(posted=plain_posted, held=plain_held, available=plain_posted - plain_held),
        holds=[_hold(hold, terms.holds[hold.id]) for hold in state.holdings.holds],
        scheduled=[_scheduled(grant) for grant in state.holdings.scheduled],
        dated_back=dated_back,
        transfers=transfers,
    )


def _explained(lot: Lot, grant: GrantState) -> ExplainedGrant:
    status: Any = lot.ended or "active"
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
        metadata=metadata_of(grant.metadata),
    )


def _hold(hold: ActiveHold, label: Label) -> ExplainedHold:
    return ExplainedHold(
        id=hold.id,
        remaining=hold.remaining,
        funding=parts(hold.funding),
        plain=hold.remaining - total(hold.funding),
        expires_at=rfc3339(hold.expires_ms),
        code=label.code,
        metadata=metadata_of(label.metadata),
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
        metadata=metadata_of(grant.metadata),
    )
