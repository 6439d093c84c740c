"""What a product does with credits, by a client that openapi-python-client has made. Run by `test_python`.

Whatever is not decoded into the type that the document promises ends it: an answer that the generator dropped
is None, and a member that it misread raises.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from credit_system_client import AuthenticatedClient, Client
from credit_system_client.api.accounts import (
    explain_account,
    get_account,
    list_entries,
    list_own_accounts,
    open_account,
)
from credit_system_client.api.administration import add_ban, list_audit, list_bans, show_limits
from credit_system_client.api.api_keys import create_api_key, list_api_keys
from credit_system_client.api.authentication import list_sessions, login, logout, register
from credit_system_client.api.grants import create_grant, get_grant
from credit_system_client.api.holds import capture_hold, get_hold, place_hold, void_hold
from credit_system_client.api.ledger import get_ledger_head, verify_ledger
from credit_system_client.api.service import about, live, metrics, ready
from credit_system_client.api.top_up_rules import (
    create_top_up_rule,
    delete_top_up_rule,
    list_top_up_rules,
)
from credit_system_client.api.transfers import (
    create_transfer,
    create_transfers,
    get_transfer,
    reverse_transfer,
)
from credit_system_client.api.users import change_me, list_users, show_me
from credit_system_client.models import (
    About,
    AccountAnswer,
    AccountBody,
    AccountList,
    ApiKeyPage,
    ApiKeyView,
    AuditPage,
    BanPage,
    BanView,
    BatchAnswer,
    BatchBody,
    CaptureBody,
    Category,
    DryRunAnswer,
    EntryList,
    ExplainAnswer,
    GrantAnswer,
    GrantBody,
    HeadAnswer,
    Health,
    HoldAnswer,
    HoldBody,
    IdentifierType,
    LimitsView,
    Login,
    Metadata,
    NewApiKey,
    NewBan,
    NoFields,
    PastAccountAnswer,
    ProblemDocument,
    Registration,
    ReversalBody,
    RuleAnswer,
    RuleBody,
    RuleList,
    Scope,
    SessionPage,
    Tokens,
    TransferAnswer,
    TransferBody,
    TransferOfBatch,
    UserChange,
    UserPage,
    UserView,
    VerificationAnswer,
)

Kind = TypeVar("Kind")
PASSWORD = "correct horse battery"


def told(reply: Any, status: int, kind: type[Kind]) -> Kind:
    """The answer, as the type that the document gives to it."""
    assert reply.status_code == status, (reply.status_code, reply.content)
    assert isinstance(reply.parsed, kind), (type(reply.parsed), reply.content)
    assert b"Traceback" not in reply.content
    return reply.parsed


def main(url: str, key: str) -> None:
    with Client(base_url=url) as anyone, as_holder(url, key) as admin:
        the_service(anyone)
        owner, tokens = a_user(anyone)
        with as_user(url, tokens) as person:
            their_account(person, anyone, owner)
            balances(admin, person, owner)
            ended = logout.sync_detailed(client=person)
            assert (ended.status_code, ended.content) == (204, b"")
        transfers(admin)
        holds(admin)
        rules(admin)
        administration(admin)


def as_holder(url: str, key: str) -> Any:
    return AuthenticatedClient(base_url=url, token=key, prefix="", auth_header_name="X-API-Key")


def as_user(url: str, tokens: Tokens) -> Any:
    return AuthenticatedClient(
        base_url=url, token=tokens.access_token, headers={"X-Device-Id": tokens.device_id}
    )


def the_service(anyone: Any) -> None:
    assert told(about.sync_detailed(client=anyone), 200, About).links["docs"] == "/docs"
    assert told(live.sync_detailed(client=anyone), 200, Health).status == "ok"
    assert told(ready.sync_detailed(client=anyone), 200, Health).status == "ok"
    assert "credit_balance" in told(metrics.sync_detailed(client=anyone), 200, str)


def a_user(anyone: Any) -> tuple[UserView, Tokens]:
    registration = Registration(username="carol", email="carol@example.com", password=PASSWORD)
    user = told(register.sync_detailed(client=anyone, body=registration), 201, UserView)
    assert user.created_at.tzinfo is not None
    taken = told(register.sync_detailed(client=anyone, body=registration), 409, ProblemDocument)
    assert taken.code == "username_taken"
    wrong = Registration(username="?", email="?", password="?")
    refused = told(register.sync_detailed(client=anyone, body=wrong), 400, ProblemDocument)
    assert {each.field for each in refused.errors} == {"username", "email", "password"}
    credentials = Login(username="carol", password=PASSWORD)
    return user, told(login.sync_detailed(client=anyone, body=credentials), 200, Tokens)


def their_account(person: Any, anyone: Any, user: UserView) -> None:
    assert told(show_me.sync_detailed(client=person), 200, UserView).id == user.id
    assert told(list_sessions.sync_detailed(client=person), 200, SessionPage).items[0].current
    renamed = change_me.sync_detailed(client=person, body=UserChange(username="carola"))
    assert told(renamed, 200, UserView).email == "carol@example.com"
    nobody = told(show_me.sync_detailed(client=anyone), 401, ProblemDocument)
    assert nobody.code == "not_authenticated"


def balances(admin: Any, person: Any, owner: UserView) -> None:
    body = AccountBody(
        asset="GEMS", id="carol-gems", user_id=owner.id, metadata=Metadata.from_dict({"n": [1]})
    )
    account = told(open_account.sync_detailed(client=admin, body=body), 201, AccountAnswer)
    assert account.metadata["n"] == [1]
    ends = datetime.now(UTC) + timedelta(days=30)
    for amount, expires in ((1_000, None), (500, ends)):
        given = GrantBody(account="carol-gems", amount=amount, category=Category.PAID, expires_at=expires)
        grant = told(create_grant.sync_detailed(client=admin, body=given), 201, GrantAnswer)
        assert (grant.expires_at is None) == (expires is None)
        assert told(get_grant.sync_detailed(grant.id, client=admin), 200, GrantAnswer).status == "active"
    now = told(get_account.sync_detailed("carol-gems", client=admin), 200, AccountAnswer)
    assert (now.available, [each.remaining for each in now.grants]) == (1_500, [500, 1_000])
    past = get_account.sync_detailed("carol-gems", client=admin, at=datetime.now(UTC))
    assert told(past, 200, PastAccountAnswer).posted == 1_500
    assert told(list_own_accounts.sync_detailed(client=person), 200, AccountList).items[0].id == "carol-gems"
    explained = told(explain_account.sync_detailed("carol-gems", client=person), 200, ExplainAnswer)
    assert [each.available for each in explained.grants] == [500, 1_000]
    page = told(list_entries.sync_detailed("carol-gems", client=person, limit=1), 200, EntryList)
    assert (page.items[0].amount, page.items[0].metadata.to_dict()) == (500, {})
    rest = list_entries.sync_detailed("carol-gems", client=person, cursor=page.next_cursor)
    assert told(rest, 200, EntryList).next_cursor is None
    missing = told(get_account.sync_detailed("nobody", client=admin), 404, ProblemDocument)
    assert missing.code == "account_not_found"


def transfers(admin: Any) -> None:
    asked = TransferBody(
        source="carol-gems", amount=250, code="purchase", metadata=Metadata.from_dict({"a": "b"})
    )
    asked.dry_run = True
    dry = told(create_transfer.sync_detailed(client=admin, body=asked), 200, DryRunAnswer)
    assert (dry.id, dry.seq, dry.recorded_at, dry.dry_run, dry.top_ups) == (None, None, None, True, [])
    asked.dry_run = False
    real = create_transfer.sync_detailed(client=admin, body=asked, idempotency_key="order-1")
    posted = told(real, 201, TransferAnswer)
    assert (posted.funding, posted.metadata["a"]) == (dry.funding, "b")
    again = create_transfer.sync_detailed(client=admin, body=asked, idempotency_key="order-1")
    assert told(again, 201, TransferAnswer) == posted
    assert (real.headers.get("Idempotent-Replayed"), again.headers["Idempotent-Replayed"]) == (None, "true")
    asked.amount = 1
    other = create_transfer.sync_detailed(client=admin, body=asked, idempotency_key="order-1")
    assert told(other, 409, ProblemDocument).code == "idempotency_conflict"
    asked.amount = 10**9
    poor = told(create_transfer.sync_detailed(client=admin, body=asked), 409, ProblemDocument)
    assert poor.code == "insufficient_funds"
    one = TransferOfBatch(source="carol-gems", amount=1, code="tick", id="tick-1")
    bad = TransferOfBatch(source="nobody", amount=1, code="tick")
    batch = create_transfers.sync_detailed(client=admin, body=BatchBody(transfers=[one, one, bad]))
    results = told(batch, 200, BatchAnswer).results
    assert [each.status for each in results] == ["posted", "duplicate", "rejected"]
    assert results[2].code == "account_not_found"
    back = reverse_transfer.sync_detailed(posted.id, client=admin, body=ReversalBody(amount=50))
    assert told(back, 201, TransferAnswer).reverses == posted.id
    assert told(get_transfer.sync_detailed(posted.id, client=admin), 200, TransferAnswer).reversed_ == 50


def holds(admin: Any) -> None:
    asked = HoldBody(account="carol-gems", amount=100, code="job")
    first, second = (
        told(place_hold.sync_detailed(client=admin, body=asked), 201, HoldAnswer) for _ in range(2)
    )
    taken = capture_hold.sync_detailed(first.id, client=admin, body=CaptureBody(amount=60))
    captured = told(taken, 200, HoldAnswer)
    assert (captured.status, captured.captured) == ("captured", 60)
    voided = void_hold.sync_detailed(second.id, client=admin, body=NoFields())
    assert told(voided, 200, HoldAnswer).status == "voided"
    assert told(get_hold.sync_detailed(first.id, client=admin), 200, HoldAnswer).expires_at.tzinfo
    ended = told(capture_hold.sync_detailed(first.id, client=admin, body=CaptureBody()), 409, ProblemDocument)
    assert ended.code == "hold_not_pending"


def rules(admin: Any) -> None:
    asked = RuleBody(account="carol-gems", below=1, amount=1, category=Category.PROMOTIONAL, max_per_day=1)
    rule = told(create_top_up_rule.sync_detailed(client=admin, body=asked), 201, RuleAnswer)
    found = told(list_top_up_rules.sync_detailed(client=admin, account="carol-gems"), 200, RuleList)
    assert [each.id for each in found.items] == [rule.id]
    assert delete_top_up_rule.sync_detailed(rule.id, client=admin).status_code == 204
    gone = told(delete_top_up_rule.sync_detailed("rul_none", client=admin), 404, ProblemDocument)
    assert gone.code == "not_found"


def administration(admin: Any) -> None:
    asked = NewApiKey(name="shop", scopes=[Scope.CREDITSREAD])
    assert told(create_api_key.sync_detailed(client=admin, body=asked), 201, ApiKeyView).key
    assert len(told(list_api_keys.sync_detailed(client=admin, limit=2), 200, ApiKeyPage).items) == 2
    assert told(list_users.sync_detailed(client=admin), 200, UserPage).items
    ban = NewBan(type_=IdentifierType.IP, identifier="192.0.2.1", reason="a test")
    assert told(add_ban.sync_detailed(client=admin, body=ban), 201, BanView).until > datetime.now(UTC)
    assert told(list_bans.sync_detailed(client=admin), 200, BanPage).next_cursor is None
    limits = show_limits.sync_detailed(IdentifierType.IP, "192.0.2.1", client=admin)
    assert told(limits, 200, LimitsView).banned
    assert told(list_audit.sync_detailed(client=admin, limit=5), 200, AuditPage).next_cursor
    head = told(get_ledger_head.sync_detailed(client=admin), 200, HeadAnswer)
    proof = told(verify_ledger.sync_detailed(client=admin, body=NoFields()), 200, VerificationAnswer)
    assert (proof.ok, proof.problem, proof.head.seq) == (True, None, head.seq)


if __name__ == "__main__":
    main(*sys.argv[1:])
