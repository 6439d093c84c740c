"""The sample data of a demo, made by the real use cases, and the commands that show it."""

from __future__ import annotations

import secrets

from application.ledger.orders import AccountOrder, Caller, GrantOrder, TransferOrder
from composition.hosting.serve_options import ServeOptions
from composition.wiring.use_cases import UseCases
from domain.audit import SYSTEM, RequestContext
from domain.identity.api_keys import DEFAULT_BOOK
from domain.identity.users import User
from domain.ledger.outcomes import Outcome, Rejected

ASSET = "GOLD"
PEOPLE = (("ada", 1_000), ("grace", 250))
"""The name of each user, which is also the id of the account, and the credits granted."""

_PASSWORD = secrets.token_urlsafe(12)


async def sample_data(use_cases: UseCases) -> None:
    """Two users, each with an account and credits; one has paid the other."""
    for name, credits_granted in PEOPLE:
        user = await use_cases.users.register(
            username=name,
            email=f"{name}@demo.example",
            password=_PASSWORD,
            context=RequestContext(request_id="demo", actor=SYSTEM),
        )
        if not isinstance(user, User):
            raise TypeError(f"the user {name} was refused: {user}")
        caller = Caller(DEFAULT_BOOK, SYSTEM)
        _posted(await use_cases.ledger.open_account(caller, AccountOrder(ASSET, id=name, user_id=user.id)))
        grant = GrantOrder(name, credits_granted, category="promotional", priority=50, code="grant")
        _posted(await use_cases.ledger.grant(caller, grant))
    spent = TransferOrder("ada", "@revenue", 100, code="purchase")
    _posted(await use_cases.ledger.transfer(Caller(DEFAULT_BOOK, SYSTEM), spent))


def _posted(outcome: Outcome) -> None:
    if isinstance(outcome, Rejected):
        raise TypeError(f"the ledger refused sample data: {outcome.reason.value}")


def tour(options: ServeOptions, url: str, key: str) -> tuple[str, ...]:
    """The key and four commands to paste."""
    curl = f"curl -sS --cacert {options.tls.certificate}" if options.tls else "curl -sS"
    keyed = f"{curl} -H 'X-API-Key: {key}'"
    json = "-H 'Content-Type: application/json'"
    spend = '{"source":"ada","amount":250,"code":"purchase"}'
    login = f'{{"username":"ada","password":"{_PASSWORD}"}}'
    return (
        f"admin API key: {key}",
        "",
        f"{keyed} {url}/credits/accounts/ada",
        f"{keyed} {json} -d '{spend}' {url}/credits/transfers",
        f"{keyed} {url}/credits/accounts/ada/entries",
        f"{curl} {json} -d '{login}' {url}/auth/login",
        "",
        "Everything is in memory and ends with Ctrl-C.",
    )
