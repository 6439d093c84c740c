"""Accounts: opening them, their balances now and then, and what moved them."""

from __future__ import annotations

from credit_system import (
    DEFAULT_BOOK,
    USER,
    AccountOrder,
    AccountState,
    Answer,
    Call,
    Problem,
    Rejected,
    Route,
)
from plugins.credits.answers import (
    account_answer,
    answered,
    cursor_of,
    entry_answer,
    live_grants,
    metadata_text,
    opened_account,
    opening_answer,
    past_answer,
    position_of,
)
from plugins.credits.bodies import AccountBody, AccountQuery, EntriesQuery, OwnAccountsQuery
from plugins.credits.refusals import invalid_field, no_account, problem_of
from plugins.credits.route_problems import OF_ACCOUNT, OPENING
from plugins.credits.routes.support import MAY_READ, MAY_WRITE, CreditRouteSupport, caller_of
from plugins.credits.shapes import AccountAnswer, AccountList, EntryList, PastAccountAnswer


class AccountRoutes:
    """Each handler: one use case, one answer."""

    def __init__(self, support: CreditRouteSupport) -> None:
        self._support = support
        self._ledger = support.ledger

    def routes(self) -> list[Route]:
        tags = ("accounts",)
        return [
            Route("POST", "/credits/accounts", "open_account", MAY_WRITE, self.open_account,
                  body=AccountBody, answer=AccountAnswer, success=201, problems=OPENING,
                  tags=tags,
                  summary="Open an account for one asset"),
            Route("GET", "/credits/accounts/<account_id>", "get_account", MAY_READ, self.get_account,
                  query=AccountQuery, answer=(PastAccountAnswer, AccountAnswer), problems=OF_ACCOUNT,
                  tags=tags,
                  summary="An account's balance, now or at a moment in the past"),
            Route("GET", "/credits/accounts/<account_id>/entries", "list_entries", MAY_READ,
                  self.list_entries, query=EntriesQuery, answer=EntryList, problems=OF_ACCOUNT,
                  tags=tags,
                  summary="What moved the balance, newest first"),
            Route("GET", "/users/me/accounts", "list_own_accounts", USER, self.list_own_accounts,
                  query=OwnAccountsQuery, answer=AccountList, tags=tags, summary="The caller's own accounts"),
        ]  # fmt: skip

    async def open_account(self, call: Call[AccountBody, None]) -> Answer | Problem:
        body = call.body
        order = AccountOrder(
            body.asset,
            body.id,
            body.user_id,
            body.overdraft_limit,
            metadata_text(body.metadata),
            body.low_balance,
        )
        outcome = await self._support.done("open_account", self._ledger.open_account(caller_of(call), order))
        if isinstance(outcome, Rejected):
            return problem_of(outcome)
        if outcome.replayed:
            # Opened long ago, it may be: what is asked for again is the account as it stands.
            state = await self._ledger.account(call.caller.book, opened_account(outcome.recorded).id)
            if state is not None:
                return answered(201, await self._answer(call.caller.book, state), outcome)
        return answered(201, opening_answer(outcome.recorded), outcome)

    async def get_account(self, call: Call[None, AccountQuery]) -> Answer | Problem:
        query = call.query
        found = await self._support.account(call, query.asset, fresh=query.consistency == "strong")
        if isinstance(found, Problem):
            return found
        if query.at_ms is not None:
            return await self._account_at(call, found, query.at_ms)
        return Answer(200, await self._answer(call.caller.book, found))

    async def _answer(self, book: str, state: AccountState) -> AccountAnswer:
        return account_answer(state, await self._ledger.labels_of_grants(book, live_grants(state)))

    async def _account_at(
        self, call: Call[None, AccountQuery], state: AccountState, at_ms: int
    ) -> Answer | Problem:
        if at_ms > self._ledger.now_ms():
            return invalid_field("at", "`at` lies in the future.")
        basis = call.query.basis
        past = await self._ledger.account_at(call.caller.book, state, at_ms, by_effect=basis == "effective")
        if past is None:
            return problem_of(no_account(state.account.id))
        labels = await self._ledger.labels_of_grants(call.caller.book, live_grants(past.state))
        return Answer(200, past_answer(past, at_ms, basis, labels))

    async def list_entries(self, call: Call[None, EntriesQuery]) -> Answer | Problem:
        state = await self._support.account(call, call.query.asset)
        if isinstance(state, Problem):
            return state
        before = None if call.query.cursor is None else position_of(call.query.cursor)
        if isinstance(before, Problem):
            return before
        entries, following = await self._ledger.entries(
            call.caller.book, state, limit=call.query.limit, before=before
        )
        items = [entry_answer(entry) for entry in entries]
        return Answer(200, EntryList(items=items, next_cursor=cursor_of(following)))

    async def list_own_accounts(self, call: Call[None, OwnAccountsQuery]) -> Answer | Problem:
        states = await self._ledger.accounts_of(DEFAULT_BOOK, call.caller.user_id or "")
        start = 0
        if call.query.cursor is not None:
            ids = [state.account.id for state in states]
            if call.query.cursor not in ids:
                return invalid_field("cursor", "`cursor` is not one of this list's.")
            start = ids.index(call.query.cursor) + 1
        page = states[start : start + call.query.limit]
        more = start + len(page) < len(states)
        grants = [grant for state in page for grant in live_grants(state)]
        labels = await self._ledger.labels_of_grants(DEFAULT_BOOK, grants)
        return Answer(
            200,
            AccountList(
                items=[account_answer(state, labels) for state in page],
                next_cursor=page[-1].account.id if page and more else None,
            ),
        )
