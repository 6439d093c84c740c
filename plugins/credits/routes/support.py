"""What all routes under `/credits` do alike: name the caller, measure, and say who may look."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from typing import Any, Final

from credit_system import (
    NOT_FOUND,
    AccountState,
    Call,
    Caller,
    Ledger,
    Outcome,
    Problem,
    Runtime,
    Scope,
    any_scope,
    is_id,
    is_system,
    scope_or_owner,
)
from plugins.credits.measures import LedgerMeasures
from plugins.credits.refusals import invalid_field, no_account, problem_of

MAY_READ: Final = scope_or_owner(Scope.CREDITS_READ)
MAY_WRITE: Final = any_scope(Scope.CREDITS_WRITE)


class CreditRouteSupport:
    def __init__(self, ledger: Ledger, measures: LedgerMeasures, runtime: Runtime) -> None:
        self.ledger = ledger
        self.measures = measures
        self.runtime = runtime

    async def done(self, operation: str, work: Awaitable[Outcome]) -> Outcome:
        """The outcome of one command, measured and counted."""
        outcome = await self.measures.timed(operation, work)
        self.measures.count(operation, [outcome])
        return outcome

    async def account(
        self, call: Call[Any, Any], asset: str | None, *, fresh: bool = True
    ) -> AccountState | Problem:
        """The account that the path names, if the caller may see it."""
        account_id = call.path["account_id"]
        if is_system(account_id) and asset is None:
            return invalid_field("asset", "System accounts exist per asset: say `?asset=`.")
        state = None
        if is_id(account_id.removeprefix("@")):
            state = await self.ledger.account(call.caller.book, account_id, asset=asset, fresh=fresh)
        refused = call.refusal(MAY_READ, state.account.user_id if state else None)
        if refused is not None:
            return refused
        if state is None:
            return problem_of(no_account(account_id))
        if asset is not None and state.account.asset != asset:
            return replace(
                problem_of(no_account(account_id)), detail=f"The account `{account_id}` holds another asset."
            )
        return state

    async def refused(self, call: Call[Any, Any], *accounts: str) -> Problem | None:
        """None for a caller that may read all credits, or is the user of one of the accounts.

        Called with no account for what does not exist: others must not learn that it does not.
        """
        refused = call.refusal(MAY_READ, None)
        if refused is None:
            return None
        for account_id in accounts:
            if is_system(account_id):
                continue
            state = await self.ledger.account(call.caller.book, account_id, fresh=False)
            if state is not None and call.refusal(MAY_READ, state.account.user_id) is None:
                return None
        return refused


def caller_of(call: Call[Any, Any]) -> Caller:
    return Caller(call.caller.book, call.caller.actor, call.idempotency_key)


def id_in_path(call: Call[Any, Any], name: str) -> str | Problem:
    """What is no id names nothing, and no store has to be asked."""
    value = call.path[name]
    return value if is_id(value) else NOT_FOUND
