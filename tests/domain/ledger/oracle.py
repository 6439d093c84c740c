"""The ledger's rules written the slow and obvious way, from the words of the issue and the contract.

No batches, no overlay, no counters that are kept twice: credits lie in piles. An account has one plain
pile and one for each grant; placing a hold carries credits from the piles to the hold's own, so what a
grant's expiry takes is simply what still lies in its pile. Things fall due on time, in every account,
whether or not anybody looks. It knows commands, and nothing else of the code that it audits.
"""

from __future__ import annotations

import copy
from collections import Counter

from domain.ledger import commands as c
from tests.domain.ledger.piles import NEVER, Books, Box, Grant, Hold, Pile, Rule, Transfer

DAY_MS = 86_400_000
REJECTED_ALL = "batch_rejected"
TAKEN = ("posted", "replayed", "settled")
"""Answers that reject no atomic batch."""


class Oracle:
    def __init__(self) -> None:
        self.now = 0
        self.books = Books()

    # --- what the tests look at

    def held(self, account: str) -> int:
        return sum(hold.left for hold in self._pending(account))

    def lots(self, account: str) -> list[tuple[str, int, int]]:
        """Grant, remaining, held: of every grant of which the account has anything, held or not."""
        piles = {pile.grant: pile.credits for pile in self.books.boxes[account].piles}
        reserved: Counter[str] = Counter()
        for hold in self._pending(account):
            for grant_id, units in hold.parts:
                if grant_id is not None:
                    reserved[grant_id] += units
        grants = [self.books.grants[grant_id] for grant_id in piles.keys() | reserved.keys()]
        grants.sort(key=lambda grant: (grant.priority, grant.expires, grant.age))
        return [(each.id, piles.get(each.id, 0) + reserved[each.id], reserved[each.id]) for each in grants]

    def posted(self, account: str) -> int:
        return self.books.boxes[account].available + self.held(account)

    def _pending(self, account: str) -> list[Hold]:
        holds = self.books.holds.values()
        return [hold for hold in holds if hold.account == account and hold.status == "pending"]

    # --- time

    def pass_time(self, now: int) -> None:
        """Everything falls due at its instant: first what begins, then holds, then grants, then by id."""
        while True:
            grants = self.books.grants.values()
            due = [(grant.begins, 0, grant.id) for grant in grants if grant.status == "pending"]
            due += [
                (hold.expires, 1, hold.id) for hold in self.books.holds.values() if hold.status == "pending"
            ]
            due += [(grant.expires, 2, grant.id) for grant in grants if grant.status == "active"]
            due = [each for each in due if each[0] <= now]
            if not due:
                break
            self.now, kind, name = min(due)
            if kind == 0:
                self._begin(self.books.grants[name])
            elif kind == 1:
                self._release(self.books.holds[name], "expired")
            else:
                self._end_grant(self.books.grants[name], "expired")
        self.now = now

    def _begin(self, grant: Grant) -> None:
        box = self.books.boxes[grant.account]
        self.books.issued += 1
        grant.age, grant.status = self.books.issued, "active"
        self._system("@issuance", box.asset).plain -= grant.amount
        self._put(grant, grant.amount)

    def _put(self, grant: Grant, credits: int) -> None:
        box = self.books.boxes[grant.account]
        for pile in box.piles:
            if pile.grant == grant.id:
                pile.credits += credits
                return
        box.piles.append(Pile(grant.id, credits, grant.priority, grant.category, grant.expires, grant.age))

    def _end_grant(self, grant: Grant, status: str) -> None:
        box = self.books.boxes[grant.account]
        grant.status = status
        for pile in [each for each in box.piles if each.grant == grant.id]:
            box.piles.remove(pile)
            self._take_away(grant, pile.credits)

    def _take_away(self, grant: Grant, credits: int) -> None:
        sink = "@issuance" if grant.status == "voided" else "@expired"
        self._system(sink, self.books.boxes[grant.account].asset).plain += credits

    def _release(self, hold: Hold, status: str) -> None:
        hold.status = status
        for grant_id, units in hold.parts:
            if grant_id is None:
                self.books.boxes[hold.account].plain += units
            elif self.books.grants[grant_id].status == "active":
                self._put(self.books.grants[grant_id], units)
            else:
                self._take_away(self.books.grants[grant_id], units)
        hold.parts = []

    def _system(self, account: str, asset: str) -> Box:
        overdraft = None if account == "@issuance" else 0
        return self.books.boxes.setdefault(f"{account}:{asset}", Box(asset, None, overdraft))

    # --- commands

    def submit(self, submission: c.Submission) -> list[str]:
        """What each command's outcome must be; applies them."""
        before = copy.deepcopy(self.books) if submission.atomic else self.books
        results = [self.ask(command) for command in submission.commands]
        if submission.atomic and any(result not in TAKEN for result in results):
            # Nothing of it happened: only what was there before it can be repeated.
            self.books = before
            return [
                (self._repeat(command) or REJECTED_ALL) if result in TAKEN else result
                for command, result in zip(submission.commands, results, strict=True)
            ]
        return results

    def ask(self, command: c.Command) -> str:
        repeat = self._repeat(command)
        if repeat is not None:
            self._remember(command, repeat)
            return repeat
        # Rules hold their levels before a command looks at its accounts, and after it has changed them.
        named = self._looked_at(command)
        for account in named:
            self._top_up(account)
        result = self._apply(command)
        if result == "posted":
            self.books.answers.update(dict.fromkeys(command.keys, command.fingerprint))
            for account in named:
                self._top_up(account)
        self._remember(command, result)
        return result

    def _remember(self, command: c.Command, result: str) -> None:
        """What is refused of a batch under a key stays refused, unless the key says something already."""
        if result in ("posted", "replayed") or not isinstance(command, c.PostTransfer):
            return
        keys = command.refusal_keys
        if not any(key in self.books.answers or key in self.books.refusals for key in keys):
            self.books.refusals.update(dict.fromkeys(keys, (command.fingerprint, result)))

    def _looked_at(self, command: c.Command) -> list[str]:
        """The accounts that a command is about, whether it says so or a hold, grant or transfer does."""
        named: list[str]
        match command:
            case c.PostTransfer():
                named = [command.source, command.destination]
            case c.PlaceHold():
                named = [command.account, command.destination]
            case c.CaptureHold() | c.VoidHold():
                hold = self.books.holds.get(command.hold)
                captured = (
                    isinstance(command, c.CaptureHold) and hold is not None and hold.status == "pending"
                )
                named = [hold.account, *([hold.destination] if captured else [])] if hold else []
            case c.VoidGrant():
                grant = self.books.grants.get(command.grant)
                named = [grant.account] if grant else []
            case c.ReverseTransfer():
                transfer = self.books.transfers.get(command.of)
                refused = isinstance(self._reversible(command), str)
                named = [transfer.source, transfer.destination] if transfer and not refused else []
            case c.OpenAccount():
                named = [command.account.id]
            case c.IssueGrant() | c.SetRule() | c.RemoveRule() | c.SettleDue():
                named = [command.account]
        return [account for account in named if account in self.books.boxes]

    def _repeat(self, command: c.Command) -> str | None:
        for key in command.keys:
            if key in self.books.refusals:
                fingerprint, result = self.books.refusals[key]
                return result if fingerprint == command.fingerprint else "idempotency_conflict"
        prints = {self.books.answers[key] for key in command.keys if key in self.books.answers}
        if not prints:
            return None
        if prints == {command.fingerprint}:
            return "replayed"
        if isinstance(command, c.OpenAccount) and command.keys[0] in self.books.answers:
            return "account_exists"
        return "idempotency_conflict"

    def _apply(self, command: c.Command) -> str:
        match command:
            case c.OpenAccount():
                return self._open(command)
            case c.PostTransfer():
                return self._transfer(command)
            case c.IssueGrant():
                return self._grant(command)
            case c.VoidGrant():
                return self._void_grant(command)
            case c.ReverseTransfer():
                return self._reverse(command)
            case c.PlaceHold():
                return self._hold(command)
            case c.CaptureHold():
                return self._capture(command)
            case c.VoidHold():
                return self._void_hold(command)
            case c.SetRule():
                return self._set_rule(command)
            case c.RemoveRule():
                return self._remove_rule(command)
            case c.SettleDue():
                return "settled"

    def _open(self, command: c.OpenAccount) -> str:
        account = command.account
        if account.id in self.books.boxes:
            return "account_exists"
        self.books.boxes[account.id] = Box(account.asset, account.user_id, account.overdraft_limit)
        return "posted"

    def _sides(self, source: str, destination: str) -> tuple[Box, Box] | str:
        named = [side for side in (source, destination) if not side.startswith("@")]
        if any(side not in self.books.boxes for side in named):
            return "account_not_found"
        if len({self.books.boxes[side].asset for side in named}) > 1:
            return "asset_mismatch"
        asset = self.books.boxes[named[0]].asset
        return self._box(source, asset), self._box(destination, asset)

    def _box(self, account: str, asset: str) -> Box:
        return self._system(account, asset) if account.startswith("@") else self.books.boxes[account]

    def _taken(self, source: Box, destination: Box, amount: int) -> list[tuple[str | None, int]] | str:
        """Takes `amount` out of the piles that may pay it, or says why not."""
        if source.overdraft is not None and source.available + source.overdraft < amount:
            return "insufficient_funds"
        to_another_user = destination.user is not None and destination.user != source.user
        may_pay = [
            pile for pile in source.burn_down() if not (to_another_user and pile.category == "promotional")
        ]
        plain = amount - sum(pile.credits for pile in may_pay)
        if source.overdraft is not None and plain > source.plain + source.overdraft:
            return "grant_not_transferable"
        return self._burn(source, may_pay, amount)

    def _burn(self, source: Box, piles: list[Pile], amount: int) -> list[tuple[str | None, int]]:
        parts: list[tuple[str | None, int]] = []
        for pile in piles:
            part = min(pile.credits, amount)
            if part:
                parts.append((pile.grant, part))
                pile.credits -= part
                amount -= part
        source.piles = [pile for pile in source.piles if pile.credits]
        if amount:
            parts.append((None, amount))
            source.plain -= amount
        return parts

    def _transfer(self, command: c.PostTransfer) -> str:
        sides = self._sides(command.source, command.destination)
        if isinstance(sides, str):
            return sides
        source, destination = sides
        parts = self._taken(source, destination, command.amount)
        if isinstance(parts, str):
            return parts
        destination.plain += command.amount
        self.books.transfers[command.id] = Transfer(
            command.source, command.destination, parts, self._counts_from(command.effective_ms)
        )
        return "posted"

    def _counts_from(self, effective_ms: int | None) -> int:
        return self.now if effective_ms is None else effective_ms

    def _grant(self, command: c.IssueGrant) -> str:
        if command.account not in self.books.boxes:
            return "account_not_found"
        terms = command.terms
        expires = NEVER if terms.expires_ms is None else terms.expires_ms
        if expires <= self.now:
            return "grant_not_active"
        begins = self.now if terms.effective_ms is None else terms.effective_ms
        self._issue(
            Grant(
                command.id, command.account, command.amount, terms.priority, terms.category, begins, expires
            )
        )
        return "posted"

    def _issue(self, grant: Grant) -> None:
        self.books.grants[grant.id] = grant
        if grant.begins <= self.now:
            self._begin(grant)
            self.books.transfers[grant.id] = Transfer("@issuance", grant.account, [], self.now, "issue")

    def _void_grant(self, command: c.VoidGrant) -> str:
        grant = self.books.grants.get(command.grant)
        if grant is None:
            return "not_found"
        if grant.status == "pending":
            grant.status = "voided"
            return "posted"
        if grant.status != "active" or all(lot[0] != grant.id for lot in self.lots(grant.account)):
            return "grant_not_active"
        self._end_grant(grant, "voided")
        return "posted"

    def _reversible(self, command: c.ReverseTransfer) -> tuple[Transfer, int] | str:
        """The transfer, and how much of it is to go back."""
        transfer = self.books.transfers.get(command.of)
        if transfer is None:
            return "not_found"
        if transfer.kind not in ("transfer", "capture"):
            return "transfer_not_reversible"
        left = sum(units for _, units in transfer.parts)
        amount = left if command.amount is None else command.amount
        if left == 0:
            return "transfer_already_reversed"
        if amount > left:
            return "amount_exceeds_transfer"
        if command.effective_ms is not None and command.effective_ms < transfer.counts_from:
            return "dated_before_original"
        return transfer, amount

    def _reverse(self, command: c.ReverseTransfer) -> str:
        found = self._reversible(command)
        if isinstance(found, str):
            return found
        transfer, amount = found
        sides = self._sides(transfer.source, transfer.destination)
        assert not isinstance(sides, str)
        giver, receiver = sides
        if receiver.overdraft is not None and receiver.available + receiver.overdraft < amount:
            return "insufficient_funds"
        first = min(amount, max(0, receiver.plain))
        receiver.plain -= first
        self._burn(receiver, receiver.burn_down(), amount - first)
        while amount:
            grant_id, units = transfer.parts.pop()  # The latest burnt, plain credits before all others.
            part = min(units, amount)
            amount -= part
            if units > part:
                transfer.parts.append((grant_id, units - part))
            if grant_id is None or self.books.grants[grant_id].status != "active":
                giver.plain += part
            else:
                self._put(self.books.grants[grant_id], part)
        self.books.transfers[command.id] = Transfer(
            transfer.destination, transfer.source, [], self.now, "reversal"
        )
        return "posted"

    def _hold(self, command: c.PlaceHold) -> str:
        sides = self._sides(command.account, command.destination)
        if isinstance(sides, str):
            return sides
        parts = self._taken(*sides, command.amount)
        if isinstance(parts, str):
            return parts
        expires = self.now + command.expires_in_ms
        self.books.holds[command.id] = Hold(command.id, command.account, command.destination, expires, parts)
        return "posted"

    def _refusal_of_hold(self, hold: Hold | None) -> str | None:
        if hold is None:
            return "not_found"
        if hold.status == "expired":
            return "hold_expired"
        return None if hold.status == "pending" else "hold_not_pending"

    def _capture(self, command: c.CaptureHold) -> str:
        hold = self.books.holds.get(command.hold)
        refused = self._refusal_of_hold(hold)
        if hold is None or refused is not None:
            return refused or "not_found"
        amount = hold.left if command.amount is None else command.amount
        if amount > hold.left:
            return "amount_exceeds_hold"
        hold.captured += amount
        self._box(hold.destination, self.books.boxes[hold.account].asset).plain += amount
        spent: list[tuple[str | None, int]] = []
        while amount:
            grant_id, units = hold.parts.pop(0)
            part = min(units, amount)
            amount -= part
            spent.append((grant_id, part))
            if units > part:
                hold.parts.insert(0, (grant_id, units - part))
        if command.final or not hold.parts:
            self._release(hold, "captured")
        self.books.transfers[command.transfer_id] = Transfer(
            hold.account, hold.destination, spent, self.now, "capture"
        )
        return "posted"

    def _void_hold(self, command: c.VoidHold) -> str:
        hold = self.books.holds.get(command.hold)
        refused = self._refusal_of_hold(hold)
        if hold is None or refused is not None:
            return refused or "not_found"
        self._release(hold, "voided")
        return "posted"

    def _set_rule(self, command: c.SetRule) -> str:
        if command.account not in self.books.boxes:
            return "account_not_found"
        self.books.boxes[command.account].rules.append(
            Rule(command.id, command.below, command.amount, command.category, command.max_per_day, command.to)
        )
        return "posted"

    def _remove_rule(self, command: c.RemoveRule) -> str:
        box = self.books.boxes.get(command.account)
        found = [rule for rule in box.rules if rule.id == command.id] if box else []
        if box is None or not found:
            return "not_found"
        box.rules.remove(found[0])
        return "posted"

    def _top_up(self, account: str) -> None:
        """Each rule acts until its level is available, or its day is used: all at once, as one grant."""
        box, day = self.books.boxes[account], self.now // DAY_MS
        for rule in box.rules:
            first, amount = rule.acted[day] + 1, 0
            while box.available + amount < rule.below and rule.acted[day] < rule.max_per_day:
                amount += rule.amount if rule.to is None else rule.to - box.available
                rule.acted[day] += 1
            if amount:
                name = f"topup:{rule.id}:{day}.{first}"
                self._issue(Grant(name, account, amount, 50, rule.category, self.now, NEVER))
