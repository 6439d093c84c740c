"""What a batch of commands has to see before it can be decided."""

from __future__ import annotations

from collections.abc import Iterable

from domain.ledger.account import EXPIRED, ISSUANCE, NOTHING, account_key, is_system
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
    SettleDue,
    VoidGrant,
    VoidHold,
    grant_key,
    hold_key,
    transfer_key,
)
from domain.ledger.replay import Accounts, Subjects
from domain.ledger.subjects import GrantState, HoldState, TransferState


def prefetch_keys(
    commands: Iterable[Command], accounts: Accounts, subjects: Subjects
) -> tuple[set[str], set[str]]:
    """Keys of accounts and of subjects that are not there yet.

    What is found out of them may ask for more: load, and ask again until nothing is missing.
    """
    commands = tuple(commands)
    wanted: set[str] = set()
    things: set[str] = set()
    for command in commands:
        if type(command) is PostTransfer and command.source[0] != "@" != command.destination[0]:
            # Nearly all are.
            wanted.add(command.source)
            wanted.add(command.destination)
        else:
            _want(command, accounts, subjects, wanted, things)
    wanted |= _system_accounts_of(wanted, accounts)
    wanted |= _system_accounts_of_opened(commands)
    return (
        {key for key in wanted if key not in accounts},
        {key for key in things if key not in subjects},
    )


def _want_sides(source: str, destination: str, accounts: Accounts, wanted: set[str]) -> None:
    for side, other in ((source, destination), (destination, source)):
        if not is_system(side):
            wanted.add(side)
        elif (state := accounts.get(other)) is not None:
            wanted.add(account_key(side, state.account.asset))


def _want(
    command: Command, accounts: Accounts, subjects: Subjects, wanted: set[str], things: set[str]
) -> None:
    match command:
        case PostTransfer():
            _want_sides(command.source, command.destination, accounts, wanted)
        case OpenAccount():
            wanted.add(command.account.key)
        case PlaceHold():
            _want_sides(command.account, command.destination, accounts, wanted)
        case IssueGrant():
            _want_sides(ISSUANCE, command.account, accounts, wanted)
        case SetRule():
            # What a spend after it makes the rule issue.
            _want_sides(ISSUANCE, command.account, accounts, wanted)
        case RemoveRule() | SettleDue():
            wanted.add(command.account)
        case CaptureHold() | VoidHold():
            things.add(hold_key(command.hold))
            _want_of_subject(hold_key(command.hold), subjects, accounts, wanted, things)
        case VoidGrant():
            things.add(grant_key(command.grant))
            _want_of_subject(grant_key(command.grant), subjects, accounts, wanted, things)
        case ReverseTransfer():
            things.add(transfer_key(command.of))
            _want_of_subject(transfer_key(command.of), subjects, accounts, wanted, things)


def _want_of_subject(
    key: str, subjects: Subjects, accounts: Accounts, wanted: set[str], things: set[str]
) -> None:
    subject = subjects.get(key)
    if isinstance(subject, HoldState):
        _want_sides(subject.placed.account, subject.placed.destination, accounts, wanted)
    elif isinstance(subject, GrantState):
        _want_sides(ISSUANCE, subject.account, accounts, wanted)
    elif isinstance(subject, TransferState):
        _want_sides(subject.posted.source, subject.posted.destination, accounts, wanted)
        things.update(grant_key(grant) for grant, _ in subject.funding_left)


def _system_accounts_of(wanted: set[str], accounts: Accounts) -> set[str]:
    """What falls due in an account comes from `@issuance` and goes to `@expired`."""
    assets: set[str] = set()
    for key in wanted:
        state = accounts.get(key)
        if state is not None and state.holdings is not NOTHING:
            assets.add(state.account.asset)
    return {account_key(name, asset) for asset in assets for name in (ISSUANCE, EXPIRED)}


def _system_accounts_of_opened(commands: tuple[Command, ...]) -> set[str]:
    """What the rest of the batch may do with an account that is opened in it.

    Its asset cannot be looked up before, so the system accounts that the others name are those of it too.
    """
    assets = {command.account.asset for command in commands if isinstance(command, OpenAccount)}
    if not assets:
        return set()
    named = {ISSUANCE}
    for command in commands:
        if isinstance(command, PostTransfer):
            named.update(side for side in (command.source, command.destination) if is_system(side))
        elif isinstance(command, PlaceHold) and is_system(command.destination):
            named.add(command.destination)
    return {account_key(name, asset) for name in named for asset in assets}
