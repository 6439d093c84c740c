"""The routes under `/credits`."""

from __future__ import annotations

from typing import Any

from adapters.web import NOT_FOUND, Answer, Call, ListQuery, Problem, Route, rfc3339
from application.ledger.orders import (
    AccountOrder,
    Caller,
    GrantOrder,
    TransferOrder,
    is_repeat_of_request,
)
from application.ledger.service import Ledger
from domain.access import ADMIN, USER, any_scope, scope_or_owner
from domain.api_keys import DEFAULT_BOOK, Scope
from domain.ledger.account import AccountState, is_system
from domain.ledger.entries import Recorded, TransferPosted
from domain.ledger.outcomes import Outcome, Rejected, Rejection
from plugins.credits.answers import (
    REPLAYED,
    account_answer,
    batch_answer,
    created,
    cursor_of,
    entry_answer,
    grant_answer,
    opening_answer,
    position_of,
    refusal,
    transfer_answer,
)
from plugins.credits.answers import metadata_text as text_of
from plugins.credits.measures import LedgerMeasures
from plugins.credits.shapes import (
    AccountAnswer,
    AccountBody,
    AccountList,
    AccountQuery,
    BatchAnswer,
    BatchBody,
    EntriesQuery,
    EntryList,
    GrantAnswer,
    GrantBody,
    HeadAnswer,
    TransferAnswer,
    TransferBody,
)

BATCH_BODY_BYTES_MAX = 8 * 1024 * 1024

MAY_READ = scope_or_owner(Scope.CREDITS_READ)
MAY_WRITE = any_scope(Scope.CREDITS_WRITE)


class CreditRoutes:
    """Each handler: one use case, one answer."""

    def __init__(self, ledger: Ledger, measures: LedgerMeasures) -> None:
        self._ledger = ledger
        self._measures = measures

    def routes(self) -> list[Route]:
        return [*self._account_routes(), *self._posting_routes()]

    def _account_routes(self) -> list[Route]:
        tags = ("accounts",)
        return [
            Route("POST", "/credits/accounts", "open_account", MAY_WRITE, self.open_account,
                  body=AccountBody, answer=AccountAnswer, success=201, tags=tags,
                  summary="Open an account for one asset"),
            Route("GET", "/credits/accounts/<account_id>", "get_account", MAY_READ, self.get_account,
                  query=AccountQuery, answer=AccountAnswer, tags=tags, summary="An account's balance"),
            Route("GET", "/credits/accounts/<account_id>/entries", "list_entries", MAY_READ,
                  self.list_entries, query=EntriesQuery, answer=EntryList, tags=tags,
                  summary="What moved the balance, newest first"),
            Route("GET", "/users/me/accounts", "list_own_accounts", USER, self.list_own_accounts,
                  query=ListQuery, answer=AccountList, tags=tags, summary="The caller's own accounts"),
            Route("GET", "/credits/ledger/head", "get_ledger_head", ADMIN, self.get_head,
                  answer=HeadAnswer, tags=("ledger",), summary="The journal's newest document"),
        ]  # fmt: skip

    def _posting_routes(self) -> list[Route]:
        tags = ("transfers",)
        return [
            Route("POST", "/credits/grants", "create_grant", MAY_WRITE, self.create_grant,
                  body=GrantBody, answer=GrantAnswer, success=201, tags=("grants",),
                  summary="Issue credits to an account"),
            Route("POST", "/credits/transfers", "create_transfer", MAY_WRITE, self.create_transfer,
                  body=TransferBody, answer=TransferAnswer, success=201, tags=tags,
                  summary="Move credits from one account to another"),
            Route("POST", "/credits/transfers/batch", "create_transfers", MAY_WRITE, self.create_transfers,
                  body=BatchBody, answer=BatchAnswer, body_bytes_max=BATCH_BODY_BYTES_MAX, tags=tags,
                  summary="Move credits many times at once"),
            Route("GET", "/credits/transfers/<transfer_id>", "get_transfer", MAY_READ, self.get_transfer,
                  answer=TransferAnswer, tags=tags, summary="One transfer"),
        ]  # fmt: skip

    async def open_account(self, call: Call[AccountBody, None]) -> Answer | Problem:
        body = call.body
        order = AccountOrder(body.asset, body.id, body.user_id, body.overdraft_limit, text_of(body.metadata))
        outcome = await self._timed("open_account", self._ledger.open_account(_caller(call), order))
        if isinstance(outcome, Rejected):
            return refusal(outcome.reason)
        return created(opening_answer(outcome.recorded), outcome)

    async def get_account(self, call: Call[None, AccountQuery]) -> Answer | Problem:
        found = await self._account(call, call.query.asset, fresh=call.query.consistency == "strong")
        return found if isinstance(found, Problem) else Answer(200, account_answer(found))

    async def list_entries(self, call: Call[None, EntriesQuery]) -> Answer | Problem:
        state = await self._account(call, call.query.asset, fresh=True)
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

    async def list_own_accounts(self, call: Call[None, ListQuery]) -> Answer | Problem:
        states = await self._ledger.accounts_of(DEFAULT_BOOK, call.caller.user_id or "")
        start = 0
        if call.query.cursor is not None:
            ids = [state.account.id for state in states]
            if call.query.cursor not in ids:
                return Problem(400, "validation_failed", "`cursor` is not one of this list's.")
            start = ids.index(call.query.cursor) + 1
        page = states[start : start + call.query.limit]
        more = start + len(page) < len(states)
        return Answer(
            200,
            AccountList(
                items=[account_answer(state) for state in page],
                next_cursor=page[-1].account.id if page and more else None,
            ),
        )

    async def get_head(self, call: Call[None, None]) -> Answer | Problem:
        book = call.caller.book
        head = await self._ledger.head(book)
        at = rfc3339(head.time_ms) if head.seq else None
        return Answer(200, HeadAnswer(book=book, seq=head.seq, digest=head.digest, recorded_at=at))

    async def create_grant(self, call: Call[GrantBody, None]) -> Answer | Problem:
        body = call.body
        order = GrantOrder(
            body.account, body.amount, body.category, body.priority, body.code, text_of(body.metadata)
        )
        outcome = await self._timed("grant", self._ledger.grant(_caller(call), order))
        if isinstance(outcome, Rejected):
            return refusal(outcome.reason)
        return created(grant_answer(outcome.recorded), outcome)

    async def create_transfer(self, call: Call[TransferBody, None]) -> Answer | Problem:
        outcome = await self._timed("transfer", self._ledger.transfer(_caller(call), _order(call.body)))
        if isinstance(outcome, Rejected):
            return refusal(outcome.reason)
        return created(transfer_answer(outcome.recorded), outcome)

    async def create_transfers(self, call: Call[BatchBody, None]) -> Answer | Problem:
        body = call.body
        caller = _caller(call)
        orders = [_order(each) for each in body.transfers]
        outcomes = await self._measures.timed(
            "batch", self._ledger.transfer_batch(caller, orders, atomic=body.atomic)
        )
        self._measures.count("transfer", outcomes)
        repeats = [is_repeat_of_request(caller, outcome, index) for index, outcome in enumerate(outcomes)]
        answer = batch_answer([order.id for order in orders], outcomes, repeats)
        first = _first_rejection(outcomes) if body.atomic else None
        if first is not None:
            return refusal(first, results=answer.results)
        return Answer(200, answer, REPLAYED if all(repeats) else ())

    async def get_transfer(self, call: Call[None, None]) -> Answer | Problem:
        recorded = await self._ledger.recorded_transfer(call.caller.book, call.path["transfer_id"])
        owners = {None} if recorded is None else await self._owners(call.caller.book, recorded)
        # Whoever owns neither side must not learn whether there is such a transfer.
        refused = [call.refusal(MAY_READ, owner) for owner in owners]
        if all(refused):
            return refused[0] or NOT_FOUND
        return NOT_FOUND if recorded is None else Answer(200, transfer_answer(recorded))

    async def _account(
        self, call: Call[Any, Any], asset: str | None, *, fresh: bool
    ) -> AccountState | Problem:
        account_id = call.path["account_id"]
        if is_system(account_id) and asset is None:
            return Problem(400, "validation_failed", "System accounts exist per asset: say `?asset=`.")
        state = await self._ledger.account(call.caller.book, account_id, asset=asset, fresh=fresh)
        refused = call.refusal(MAY_READ, state.account.user_id if state else None)
        if refused is not None:
            return refused
        if state is None or (asset is not None and state.account.asset != asset):
            return refusal(Rejection.ACCOUNT_NOT_FOUND)
        return state

    async def _owners(self, book: str, recorded: Recorded) -> set[str | None]:
        entry = recorded.entry
        sides = (entry.source, entry.destination) if isinstance(entry, TransferPosted) else ()
        states = [
            await self._ledger.account(book, side, fresh=False) for side in sides if not is_system(side)
        ]
        return {state.account.user_id for state in states if state is not None}

    async def _timed(self, operation: str, work: Any) -> Outcome:
        outcome: Outcome = await self._measures.timed(operation, work)
        self._measures.count(operation, [outcome])
        return outcome


def _caller(call: Call[Any, Any]) -> Caller:
    return Caller(call.caller.book, call.caller.actor, call.idempotency_key)


def _order(body: TransferBody) -> TransferOrder:
    return TransferOrder(
        body.source, body.destination, body.amount, body.code, body.id, text_of(body.metadata)
    )


def _first_rejection(outcomes: list[Outcome]) -> Rejection | None:
    """The first that has a reason of its own."""
    reasons = [outcome.reason for outcome in outcomes if isinstance(outcome, Rejected)]
    return next((reason for reason in reasons if reason is not Rejection.BATCH_REJECTED), None)
