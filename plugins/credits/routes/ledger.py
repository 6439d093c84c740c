"""The journal itself, for administrators."""

from __future__ import annotations

from credit_system import ADMIN, Answer, Call, Problem, Route, rfc3339
from domain.ledger.chain import Head
from plugins.credits.bodies import NoFields
from plugins.credits.routes.support import CreditRouteSupport
from plugins.credits.shapes import HeadAnswer, ProblemOfBook, VerificationAnswer


class LedgerRoutes:
    def __init__(self, support: CreditRouteSupport) -> None:
        self._ledger = support.ledger

    def routes(self) -> list[Route]:
        tags = ("ledger",)
        return [
            Route("GET", "/credits/ledger/head", "get_ledger_head", ADMIN, self.get_head,
                  answer=HeadAnswer, tags=tags, summary="The journal's newest document"),
            Route("POST", "/credits/ledger/verify", "verify_ledger", ADMIN, self.verify, body=NoFields,
                  answer=VerificationAnswer, tags=tags,
                  summary="Read the whole book and prove it; names the first wrong document"),
        ]  # fmt: skip

    async def get_head(self, call: Call[None, None]) -> Answer | Problem:
        book = call.caller.book
        return Answer(200, _head(book, await self._ledger.head(book)))

    async def verify(self, call: Call[NoFields, None]) -> Answer | Problem:
        book = call.caller.book
        found = await self._ledger.verify(book)
        problem = found.problem
        return Answer(
            200,
            VerificationAnswer(
                ok=problem is None,
                head=_head(book, found.head),
                documents=found.documents,
                entries=found.entries,
                problem=None if problem is None else ProblemOfBook(seq=problem.seq, detail=problem.detail),
            ),
        )


def _head(book: str, head: Head) -> HeadAnswer:
    at = rfc3339(head.time_ms) if head.seq else None
    return HeadAnswer(book=book, seq=head.seq, digest=head.digest, recorded_at=at)
