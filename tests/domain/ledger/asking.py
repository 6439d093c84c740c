"""Commands as tests write them.

Fingerprints follow from what a command says, so the same id with the same body is a repeat here too.
"""

from __future__ import annotations

from domain.ledger.account import ISSUANCE, REVENUE, Account
from domain.ledger.commands import (
    CaptureHold,
    Command,
    IssueGrant,
    OpenAccount,
    PlaceHold,
    PostTransfer,
    RemoveRule,
    ReverseTransfer,
    SetRule,
    Submission,
    VoidGrant,
    VoidHold,
    hold_key,
    opening_key,
    rule_key,
    transfer_key,
)
from domain.ledger.lots import PAID, PROMOTIONAL, GrantTerms

ACTOR = "tests"
ASSETS = ("GEMS", "TOKENS")
USERS = {"alice": "u-1", "alice-2": "u-1", "bob": "u-2", "carol": "u-3", "shop": None, "tess": "u-2"}
"""Whose each account is; `alice` and `alice-2` are one user's, `shop` is nobody's."""
ASSET_OF = {"tess": "TOKENS"}
OVERDRAFTS = {"bob": 25, "alice-2": 5}
ACCOUNTS = tuple(USERS)
DAY_MS = 86_400_000


def _print(*fields: object) -> str:
    return "/".join(map(str, fields))


def _keys(own: str, key: str | None) -> tuple[str, ...]:
    return (own,) if key is None else (own, key)


def opening(
    account_id: str,
    asset: str = "GEMS",
    *,
    overdraft: int = 0,
    user: str | None = None,
    key: str | None = None,
) -> OpenAccount:
    return OpenAccount(
        Account(account_id, asset, user, overdraft), _keys(opening_key(account_id), key),
        _print("account", account_id, asset, overdraft, user), ACTOR, repeatable=True,
    )  # fmt: skip


def usual_opening(account_id: str) -> OpenAccount:
    return opening(
        account_id,
        ASSET_OF.get(account_id, "GEMS"),
        overdraft=OVERDRAFTS.get(account_id, 0),
        user=USERS[account_id],
    )


def transfer(
    source: str,
    destination: str,
    amount: int,
    *,
    id: str,
    code: str = "test",
    key: str | None = None,
    effective_ms: int | None = None,
    remembers_refusal: bool = False,
) -> PostTransfer:
    keys = _keys(transfer_key(id), key)
    return PostTransfer(
        id, source, destination, amount, code, keys,
        _print("transfer", id, source, destination, amount, code, effective_ms), ACTOR, "", effective_ms,
        repeatable=True, refusal_keys=keys[1:] if remembers_refusal else (),
    )  # fmt: skip


def received(account: str, amount: int, *, id: str) -> PostTransfer:
    """Credits without terms: they burn last and never expire."""
    return transfer(ISSUANCE, account, amount, id=id)


def grant(
    account: str,
    amount: int,
    *,
    id: str,
    category: str = PAID,
    priority: int = 50,
    begins: int | None = None,
    expires: int | None = None,
    key: str | None = None,
) -> IssueGrant:
    terms = GrantTerms(category, priority, begins, expires)
    return IssueGrant(
        id, account, amount, terms, "grant", _keys(transfer_key(id), key),
        _print("grant", account, amount, *terms), ACTOR, '{"why":"test"}', repeatable=True,
    )  # fmt: skip


def void_grant(grant_id: str, *, id: str) -> VoidGrant:
    return VoidGrant(grant_id, id, (f"n:{id}",), _print("void grant", grant_id), ACTOR, repeatable=True)


def reverse(
    transfer_id: str, amount: int | None = None, *, id: str, effective_ms: int | None = None
) -> ReverseTransfer:
    fingerprint = _print("reversal", transfer_id, amount, effective_ms)
    return ReverseTransfer(
        id, transfer_id, amount, (transfer_key(id),), fingerprint, ACTOR, repeatable=True,
        effective_ms=effective_ms,
    )  # fmt: skip


def hold(
    account: str, amount: int, *, id: str, destination: str = REVENUE, expires_in: int = 100
) -> PlaceHold:
    return PlaceHold(
        id, account, amount, destination, expires_in, "test", (hold_key(id),),
        _print("hold", account, amount, destination, expires_in), ACTOR, "", repeatable=True,
    )  # fmt: skip


def capture(hold_id: str, amount: int | None = None, *, id: str, final: bool = True) -> CaptureHold:
    fingerprint = _print("capture", hold_id, amount, final)
    return CaptureHold(hold_id, id, amount, final, (transfer_key(id),), fingerprint, ACTOR, repeatable=True)


def void_hold(hold_id: str, *, id: str) -> VoidHold:
    return VoidHold(hold_id, (f"n:{id}",), _print("void hold", hold_id), ACTOR, repeatable=True)


def rule(
    account: str,
    below: int,
    amount: int = 0,
    *,
    id: str,
    max_per_day: int = 1,
    category: str = PROMOTIONAL,
    to: int | None = None,
) -> SetRule:
    """By steps of `amount`, or up to `to`."""
    return SetRule(
        id, account, below, amount, category, max_per_day, (rule_key(id),),
        _print("rule", account, below, amount, category, max_per_day, to), ACTOR, repeatable=True, to=to,
    )  # fmt: skip


def remove_rule(rule_id: str, account: str) -> RemoveRule:
    return RemoveRule(rule_id, account, (f"x:{rule_id}",), _print("remove", rule_id), ACTOR, repeatable=True)


def one(command: Command) -> Submission:
    return Submission((command,))


def atomic(*commands: Command) -> Submission:
    return Submission(commands, atomic=True)
