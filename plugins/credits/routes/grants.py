"""Grants: credits with terms, given, looked at and taken back."""

from __future__ import annotations

from credit_system import NOT_FOUND, Answer, Call, GrantOrder, Problem, Rejected, Rejection, Route
from plugins.credits.answers import answered, grant_answer, issued_answer, metadata_text, voided_answer
from plugins.credits.bodies import GrantBody, NoFields
from plugins.credits.refusals import invalid_field, problem_of
from plugins.credits.route_problems import GRANTING, OF_THING, VOIDING_A_GRANT
from plugins.credits.routes.support import MAY_READ, MAY_WRITE, CreditRouteSupport, caller_of, id_in_path
from plugins.credits.shapes import GrantAnswer


class GrantRoutes:
    def __init__(self, support: CreditRouteSupport) -> None:
        self._support = support
        self._ledger = support.ledger

    def routes(self) -> list[Route]:
        tags = ("grants",)
        return [
            Route("POST", "/credits/grants", "create_grant", MAY_WRITE, self.create_grant,
                  body=GrantBody, answer=GrantAnswer, success=201, problems=GRANTING,
                  tags=tags,
                  summary="Issue credits to an account, now or later, with or without an end"),
            Route("GET", "/credits/grants/<grant_id>", "get_grant", MAY_READ, self.get_grant,
                  answer=GrantAnswer, problems=OF_THING,
                  tags=tags, summary="A grant, and what is left of it"),
            Route("POST", "/credits/grants/<grant_id>/void", "void_grant", MAY_WRITE, self.void_grant,
                  body=NoFields, answer=GrantAnswer, problems=VOIDING_A_GRANT,
                  tags=tags,
                  summary="Take back what is left of a grant and no hold has reserved"),
        ]  # fmt: skip

    async def create_grant(self, call: Call[GrantBody, None]) -> Answer | Problem:
        body = call.body
        order = GrantOrder(
            body.account,
            body.amount,
            body.category,
            body.priority,
            body.code,
            metadata_text(body.metadata),
            body.effective_ms,
            body.expires_ms,
        )
        outcome = await self._support.done("grant", self._ledger.grant(caller_of(call), order))
        if isinstance(outcome, Rejected):
            if outcome.reason is Rejection.GRANT_NOT_ACTIVE:
                # Said by the ledger, and not before it: a repeat of a grant that has expired since is
                # no new grant that is over already.
                return invalid_field("expires_at", "`expires_at` lies in the past.")
            return problem_of(outcome)
        return answered(201, issued_answer(outcome.recorded), outcome)

    async def get_grant(self, call: Call[None, None]) -> Answer | Problem:
        grant_id = id_in_path(call, "grant_id")
        view = None
        if isinstance(grant_id, str):
            view = await self._ledger.grant_state(call.caller.book, grant_id)
        refused = await self._support.refused(call, *(() if view is None else (view.grant.account,)))
        if refused is not None:
            return refused
        return NOT_FOUND if view is None else Answer(200, grant_answer(view))

    async def void_grant(self, call: Call[NoFields, None]) -> Answer | Problem:
        grant_id = id_in_path(call, "grant_id")
        if isinstance(grant_id, Problem):
            return grant_id
        outcome = await self._support.done("void_grant", self._ledger.void_grant(caller_of(call), grant_id))
        if isinstance(outcome, Rejected):
            return problem_of(outcome)
        view = await self._ledger.grant_state(call.caller.book, grant_id)
        if view is None:
            return NOT_FOUND
        return answered(200, voided_answer(view.grant, outcome.recorded), outcome)
