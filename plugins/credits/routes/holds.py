"""Holds: credits reserved, captured and voided.

A repeat gets the first answer: what this very step left of the hold stands in its entry, and what
never changes about the hold is read beside it.
"""

from __future__ import annotations

from credit_system import NOT_FOUND, Answer, Call, HoldOrder, HoldPlaced, Posted, Problem, Rejected, Route
from plugins.credits.answers import (
    answered,
    captured_answer,
    hold_answer,
    metadata_text,
    placed_answer,
    released_answer,
)
from plugins.credits.bodies import CaptureBody, HoldBody, NoFields
from plugins.credits.refusals import problem_of
from plugins.credits.route_problems import CAPTURING, HOLDING, OF_THING, VOIDING_A_HOLD
from plugins.credits.routes.support import MAY_READ, MAY_WRITE, CreditRouteSupport, caller_of, id_in_path
from plugins.credits.shapes import HoldAnswer


class HoldRoutes:
    def __init__(self, support: CreditRouteSupport) -> None:
        self._support = support
        self._ledger = support.ledger

    def routes(self) -> list[Route]:
        tags = ("holds",)
        return [
            Route("POST", "/credits/holds", "place_hold", MAY_WRITE, self.place_hold, body=HoldBody,
                  answer=HoldAnswer, success=201, problems=HOLDING,
                  tags=tags, summary="Reserve credits of an account"),
            Route("GET", "/credits/holds/<hold_id>", "get_hold", MAY_READ, self.get_hold,
                  answer=HoldAnswer, problems=OF_THING,
                  tags=tags, summary="A hold, and how it stands"),
            Route("POST", "/credits/holds/<hold_id>/capture", "capture_hold", MAY_WRITE,
                  self.capture_hold, body=CaptureBody, answer=HoldAnswer, problems=CAPTURING,
                  tags=tags,
                  summary="Move reserved credits; a final capture releases the rest"),
            Route("POST", "/credits/holds/<hold_id>/void", "void_hold", MAY_WRITE, self.void_hold,
                  body=NoFields, answer=HoldAnswer, problems=VOIDING_A_HOLD,
                  tags=tags, summary="Release what is left of a hold"),
        ]  # fmt: skip

    async def place_hold(self, call: Call[HoldBody, None]) -> Answer | Problem:
        body = call.body
        order = HoldOrder(
            body.account,
            body.amount,
            body.code,
            body.destination,
            body.expires_in * 1_000,
            metadata_text(body.metadata),
        )
        outcome = await self._support.done("hold", self._ledger.hold(caller_of(call), order))
        if isinstance(outcome, Rejected):
            return problem_of(outcome)
        return answered(201, placed_answer(outcome.recorded), outcome)

    async def get_hold(self, call: Call[None, None]) -> Answer | Problem:
        hold_id = id_in_path(call, "hold_id")
        hold = None
        if isinstance(hold_id, str):
            hold = await self._ledger.hold_state(call.caller.book, hold_id)
        refused = await self._support.refused(call, *(() if hold is None else (hold.placed.account,)))
        if refused is not None:
            return refused
        return NOT_FOUND if hold is None else Answer(200, hold_answer(hold))

    async def capture_hold(self, call: Call[CaptureBody, None]) -> Answer | Problem:
        hold_id = id_in_path(call, "hold_id")
        if isinstance(hold_id, Problem):
            return hold_id
        body = call.body
        work = self._ledger.capture(caller_of(call), hold_id, body.amount, final=body.final)
        outcome = await self._support.done("capture", work)
        if isinstance(outcome, Rejected):
            return problem_of(outcome)
        placed = await self._placed(call.caller.book, hold_id, outcome)
        if placed is None:
            return NOT_FOUND
        return answered(200, captured_answer(placed, outcome.recorded), outcome)

    async def void_hold(self, call: Call[NoFields, None]) -> Answer | Problem:
        hold_id = id_in_path(call, "hold_id")
        if isinstance(hold_id, Problem):
            return hold_id
        outcome = await self._support.done("void_hold", self._ledger.void_hold(caller_of(call), hold_id))
        if isinstance(outcome, Rejected):
            return problem_of(outcome)
        placed = await self._placed(call.caller.book, hold_id, outcome)
        if placed is None:
            return NOT_FOUND
        return answered(200, released_answer(placed, outcome.recorded), outcome)

    async def _placed(self, book: str, hold_id: str, outcome: Posted) -> HoldPlaced | None:
        """What never changes of the hold. A process that posted knows it; one that repeats another's
        answer may have to look."""
        hold = await self._ledger.hold_state(book, hold_id, fresh=outcome.replayed)
        return None if hold is None else hold.placed
