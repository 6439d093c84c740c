"""Transfers: one, many, what would come of one, and moving one back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from application.ledger.orders import is_conflict_of_batches, is_repeat_of_request
from credit_system import (
    NOT_FOUND,
    Answer,
    Call,
    Outcome,
    Problem,
    Rejected,
    Rejection,
    Route,
    TransferOrder,
    TransferPosted,
)
from plugins.credits.answers import (
    REPLAYED,
    answered,
    batch_answer,
    dry_answer,
    metadata_text,
    transfer_answer,
)
from plugins.credits.bodies import BatchBody, ReversalBody, TransferBody, TransferOfBatch
from plugins.credits.refusals import REFUSALS, invalid_field, problem_of
from plugins.credits.route_problems import OF_THING, RESULTS, REVERSING, TRANSFERRING, TRANSFERRING_MANY
from plugins.credits.routes.support import MAY_READ, MAY_WRITE, CreditRouteSupport, caller_of, id_in_path
from plugins.credits.shapes import BatchAnswer, DryRunAnswer, TransferAnswer

BATCH_BODY_BYTES_MAX = 8 * 1024 * 1024


class TransferRoutes:
    def __init__(self, support: CreditRouteSupport) -> None:
        self._support = support
        self._ledger = support.ledger
        self._measures = support.measures

    def routes(self) -> list[Route]:
        tags = ("transfers",)
        return [
            Route("POST", "/credits/transfers", "create_transfer", MAY_WRITE, self.create_transfer,
                  body=TransferBody, answer=TransferAnswer, success=201, other_answers={200: DryRunAnswer},
                  problems=TRANSFERRING, tags=tags,
                  summary="Move credits, or see what would come of it",
                  description="A dry run is answered 200, or refused as the transfer would be, and records"
                  " nothing; `top_ups` says what the accounts' top-up rules would do."),
            Route("POST", "/credits/transfers/batch", "create_transfers", MAY_WRITE,
                  self.create_transfers, body=BatchBody, answer=BatchAnswer,
                  body_bytes_max=BATCH_BODY_BYTES_MAX, problems=TRANSFERRING_MANY,
                  tags=tags,
                  summary="Move credits many times, each by itself or all together", description=RESULTS),
            Route("GET", "/credits/transfers/<transfer_id>", "get_transfer", MAY_READ, self.get_transfer,
                  answer=TransferAnswer, problems=OF_THING,
                  tags=tags,
                  summary="Whatever moved credits, and what of it is reversed"),
            Route("POST", "/credits/transfers/<transfer_id>/reverse", "reverse_transfer", MAY_WRITE,
                  self.reverse_transfer, body=ReversalBody, answer=TransferAnswer, success=201,
                  problems=REVERSING, tags=tags,
                  summary="Move back a transfer, or what is left of it",
                  description="It counts from now, or from `effective_at`, which is not before the moment"
                  " that the transfer counts from. Credits go back to the grants that had paid, while these"
                  " live (`restored`). What was paid by grants that have ended since (`lapsed`) came back to"
                  " the account as credits without expiry."),
        ]  # fmt: skip

    async def create_transfer(self, call: Call[TransferBody, None]) -> Answer | Problem:
        body = call.body
        early = self._check_moments((body,))
        if early is not None:
            return early
        if body.dry_run:
            return await self._dry_run(call)
        outcome = await self._support.done("transfer", self._ledger.transfer(caller_of(call), _order(body)))
        if isinstance(outcome, Rejected):
            return problem_of(outcome)
        return answered(201, transfer_answer(outcome.recorded), outcome)

    async def _dry_run(self, call: Call[TransferBody, None]) -> Answer | Problem:
        work = self._ledger.try_transfer(caller_of(call), _order(call.body))
        trial = await self._measures.timed("dry_run", work)
        outcome = trial.outcome
        self._measures.count("dry_run", [outcome])
        if isinstance(outcome, Rejected):
            return problem_of(outcome)
        return answered(200, dry_answer(outcome, trial, call.body.id), outcome)

    async def create_transfers(self, call: Call[BatchBody, None]) -> Answer | Problem:
        body = call.body
        early = self._check_moments(body.transfers)
        if early is not None:
            return early
        caller = caller_of(call)
        orders = [_order(each) for each in body.transfers]
        outcomes = await self._measures.timed(
            "batch", self._ledger.transfer_batch(caller, orders, atomic=body.atomic)
        )
        self._measures.count("transfer", outcomes)
        repeats = [is_repeat_of_request(caller, outcome, index) for index, outcome in enumerate(outcomes)]
        answer = batch_answer([order.id for order in orders], outcomes, repeats)
        first = outcomes[0]
        if isinstance(first, Rejected) and is_conflict_of_batches(first):
            return problem_of(first, results=answer.results)
        refused = _first_rejection(outcomes) if body.atomic else None
        if refused is not None:
            # The batch's own answer, whatever its rejected transfer would have got alone.
            index, first = refused
            problem = problem_of(first, within=f"transfers[{index}].", results=answer.results)
            return replace(problem, status=409)
        is_repeat = all(outcome.replayed for outcome in outcomes)
        return Answer(200, answer, REPLAYED if is_repeat else ())

    async def get_transfer(self, call: Call[None, None]) -> Answer | Problem:
        transfer_id = id_in_path(call, "transfer_id")
        recorded = None
        if isinstance(transfer_id, str):
            recorded = await self._ledger.recorded_transfer(call.caller.book, transfer_id)
        entry = None if recorded is None else recorded.entry
        sides = (entry.source, entry.destination) if isinstance(entry, TransferPosted) else ()
        refused = await self._support.refused(call, *sides)
        if refused is not None:
            return refused
        if recorded is None:
            return NOT_FOUND
        state = await self._ledger.transfer_state(call.caller.book, call.path["transfer_id"])
        return Answer(200, transfer_answer(recorded, state))

    async def reverse_transfer(self, call: Call[ReversalBody, None]) -> Answer | Problem:
        transfer_id = id_in_path(call, "transfer_id")
        if isinstance(transfer_id, Problem):
            return transfer_id
        body = call.body
        if body.effective_ms is not None and body.effective_ms > self._ledger.now_ms():
            return invalid_field("effective_at", "The `effective_at` of a reversal lies in the past.")
        work = self._ledger.reverse(
            caller_of(call),
            transfer_id,
            body.amount,
            metadata_text(body.metadata),
            effective_ms=body.effective_ms,
        )
        outcome = await self._support.done("reverse", work)
        if isinstance(outcome, Rejected):
            if outcome.reason is Rejection.DATED_BEFORE_ORIGINAL:
                return invalid_field("effective_at", REFUSALS[outcome.reason][1])
            return problem_of(outcome)
        return answered(201, transfer_answer(outcome.recorded), outcome)

    def _check_moments(self, transfers: Sequence[TransferOfBatch]) -> Problem | None:
        latest_ms = max(
            (each.effective_ms for each in transfers if each.effective_ms is not None), default=None
        )
        if latest_ms is None or latest_ms <= self._ledger.now_ms():
            return None
        return invalid_field("effective_at", "The `effective_at` of a transfer lies in the past.")


def _order(body: TransferOfBatch) -> TransferOrder:
    return TransferOrder(
        body.source,
        body.destination,
        body.amount,
        body.code,
        body.id,
        metadata_text(body.metadata),
        body.effective_ms,
    )


def _first_rejection(outcomes: list[Outcome]) -> tuple[int, Rejected] | None:
    """The first that has a reason of its own, and its place."""
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, Rejected) and outcome.reason is not Rejection.BATCH_REJECTED:
            return index, outcome
    return None
