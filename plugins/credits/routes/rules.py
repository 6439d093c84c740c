"""Top-up rules: credits issued by themselves when a balance gets low."""

from __future__ import annotations

from application.ledger.orders import RULE_PREFIX
from credit_system import Answer, Call, Problem, Rejected, Route, RuleOrder, is_time_ordered_id
from plugins.credits.answers import answered, rule_answer
from plugins.credits.bodies import RuleBody, RulesQuery
from plugins.credits.refusals import problem_of
from plugins.credits.route_problems import ENDING_A_RULE, RULING
from plugins.credits.routes.support import MAY_READ, MAY_WRITE, CreditRouteSupport, caller_of, id_in_path
from plugins.credits.shapes import RuleAnswer, RuleList


class RuleRoutes:
    def __init__(self, support: CreditRouteSupport) -> None:
        self._support = support
        self._ledger = support.ledger

    def routes(self) -> list[Route]:
        tags = ("top-up rules",)
        return [
            Route("POST", "/credits/top-up-rules", "create_top_up_rule", MAY_WRITE, self.create_rule,
                  body=RuleBody, answer=RuleAnswer, success=201, problems=RULING,
                  tags=tags,
                  summary="Hold at least `below` available in an account, by grants, so often a day"),
            Route("GET", "/credits/top-up-rules", "list_top_up_rules", MAY_READ, self.list_rules,
                  query=RulesQuery, answer=RuleList, tags=tags, summary="The rules, oldest first"),
            Route("DELETE", "/credits/top-up-rules/<rule_id>", "delete_top_up_rule", MAY_WRITE,
                  self.delete_rule, success=204, problems=ENDING_A_RULE,
                  tags=tags, summary="The rule acts no more"),
        ]  # fmt: skip

    async def create_rule(self, call: Call[RuleBody, None]) -> Answer | Problem:
        body = call.body
        order = RuleOrder(body.account, body.below, body.amount, body.category, body.max_per_day, body.to)
        outcome = await self._support.done("set_rule", self._ledger.set_rule(caller_of(call), order))
        if isinstance(outcome, Rejected):
            return problem_of(outcome)
        rule = await self._ledger.rule_as_set(call.caller.book, outcome.recorded)
        return answered(201, rule_answer(body.account, rule), outcome)

    async def list_rules(self, call: Call[None, RulesQuery]) -> Answer | Problem:
        query = call.query
        if query.cursor is not None and not is_time_ordered_id(RULE_PREFIX, query.cursor):
            return Problem(400, "validation_failed", "`cursor` is not one of this list's.")
        refused = await self._support.refused(call, *(() if query.account is None else (query.account,)))
        if refused is not None:
            return refused
        rules = [
            (account, rule)
            for account, rule in await self._ledger.rules(call.caller.book)
            if query.account in (None, account)
        ]
        # By id, which sorts by time: a cursor stays good when the rule that it names is deleted.
        rules.sort(key=lambda each: each[1].id)
        after = [each for each in rules if query.cursor is None or each[1].id > query.cursor]
        page = after[: query.limit]
        standing = await self._ledger.standing_rules(call.caller.book, page)
        return Answer(
            200,
            RuleList(
                items=[rule_answer(account, rule) for account, rule in standing],
                next_cursor=page[-1][1].id if len(after) > len(page) else None,
            ),
        )

    async def delete_rule(self, call: Call[None, None]) -> Answer | Problem:
        rule_id = id_in_path(call, "rule_id")
        if isinstance(rule_id, Problem):
            return rule_id
        outcome = await self._support.done("remove_rule", self._ledger.remove_rule(caller_of(call), rule_id))
        return problem_of(outcome) if isinstance(outcome, Rejected) else Answer(204)
