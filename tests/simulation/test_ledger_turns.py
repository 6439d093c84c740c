"""Writers on several hosts: the one far away gets its turn, and whoever is alone pays nothing for that."""

from __future__ import annotations

import pytest

from application.ledger.book_ports import BookPorts
from application.ledger.committed import CommittedBatch
from application.ledger.orders import Caller, TransferOrder
from application.ledger.service import Ledger
from application.ledger.turns import LOOK_INTERVAL_S
from domain.ledger.outcomes import Outcome
from ports.errors import DependencyUnavailable
from ports.ledger.claims import Claim, Claims
from tests.seeds import seeds
from tests.simulation.ledger_world import BOOK, grant, opening, posted
from tests.simulation.runtime.simulated_runtime import SeededEntropy, SimulatedRuntime, Simulation
from tests.simulation.unreliable_store import Outside, UnreliableJournal

SEEDS = seeds(20)
NEAR_TRAVEL_S = (0.0004, 0.0006)
FAR_TRAVEL_S = (0.008, 0.015)
"""Each way: while an append from there is under way, the near writer appends several times."""
TRANSFERS = 5
TURN_S_MAX = 1.5
"""For one transfer from afar: until the near writer looks for claims, and the way there."""
UNTIL_S_MAX = 20.0


class Journal(UnreliableJournal):
    def __init__(self, outside: Outside, runtime: SimulatedRuntime, travel_s: tuple[float, float]) -> None:
        super().__init__(outside, runtime)
        self._travel_s = travel_s

    async def _travel(self) -> None:
        await self._runtime.sleep(self._outside.simulation.random.uniform(*self._travel_s))


class CountedClaims:
    """Counts the calls; they fail while they are told to."""

    def __init__(self, claims: Claims) -> None:
        self.calls = 0
        self.failing = False
        self._claims = claims

    async def make(self, book: str, who: str, *, for_ms: int) -> None:
        self._count()
        await self._claims.make(book, who, for_ms=for_ms)

    async def standing(self, book: str) -> Claim | None:
        self._count()
        return await self._claims.standing(book)

    async def withdraw(self, book: str, who: str) -> None:
        self._count()
        await self._claims.withdraw(book, who)

    def _count(self) -> None:
        self.calls += 1
        if self.failing:
            raise DependencyUnavailable("store")


class Writer:
    """A ledger in a process of its own."""

    def __init__(
        self, outside: Outside, name: str, travel_s: tuple[float, float], claims: Claims | None
    ) -> None:
        simulation = outside.simulation
        self.runtime = simulation.process(name)
        ports = BookPorts(
            self.runtime,
            simulation.clock(),
            SeededEntropy(simulation.random),
            Journal(outside, self.runtime, travel_s),
            outside.checkpoints,
            claims=claims,
        )
        self.ledger = Ledger(ports, accounts_max=100, announce=self._announce)
        self.answered_s: list[float] = []
        """How long each transfer took."""

    async def open_account(self, name: str) -> None:
        posted(await opening(name)(self.ledger))
        posted(await grant(name, 1_000_000, key=name)(self.ledger))

    async def spend(self, account: str) -> None:
        began_s = self.runtime.monotonic()
        posted(await self._transfer(account))
        self.answered_s.append(self.runtime.monotonic() - began_s)

    async def _transfer(self, account: str) -> Outcome:
        order = TransferOrder(account, "@revenue", 1, "test")
        return await self.ledger.transfer(Caller(BOOK, "test"), order)

    async def _announce(self, batch: CommittedBatch) -> None:
        """Nobody listens."""


class Rivals:
    """A writer beside the store that never pauses, and one far away."""

    def __init__(
        self,
        simulation: Simulation,
        *,
        with_claims: bool = True,
        far_travel_s: tuple[float, float] = FAR_TRAVEL_S,
    ) -> None:
        self.simulation = simulation
        outside = Outside(simulation)
        self.claims = CountedClaims(outside.claims)
        claims = self.claims if with_claims else None
        self.near = Writer(outside, "near", NEAR_TRAVEL_S, claims)
        self.far = Writer(outside, "far", far_travel_s, claims)

    async def world(self) -> None:
        near = self.near.runtime.launch(self._near, name="near")
        await near.wait()

    async def _near(self) -> None:
        async with self.near.runtime.running():
            await self.near.open_account("alice")
            await self.near.open_account("bob")
            far = self.far.runtime.launch(self._far, name="far")
            give_up_s = self.near.runtime.monotonic() + UNTIL_S_MAX
            while len(self.far.answered_s) < TRANSFERS and self.near.runtime.monotonic() < give_up_s:
                await self.near.spend("alice")
        await far.wait()

    async def _far(self) -> None:
        async with self.far.runtime.running():
            for _ in range(TRANSFERS):
                await self.far.spend("bob")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_writer_far_away_gets_its_turn(seed: int) -> None:
    simulation = Simulation(seed)
    rivals = Rivals(simulation)
    simulation.run(rivals.world)
    assert max(rivals.far.answered_s) < TURN_S_MAX
    # Nor is the near one held up for longer than it gives way.
    assert max(rivals.near.answered_s) < 0.2


@pytest.mark.parametrize("seed", SEEDS)
def test_a_writer_only_a_little_slower_gets_its_turn(seed: int) -> None:
    # It loses sooner than the other one looks for claims, and again and again.
    simulation = Simulation(seed)
    rivals = Rivals(simulation, far_travel_s=(2 * NEAR_TRAVEL_S[0], 2 * NEAR_TRAVEL_S[1]))
    simulation.run(rivals.world)
    assert max(rivals.far.answered_s) < TURN_S_MAX


def test_without_claims_it_would_not() -> None:
    simulation = Simulation(1)
    with pytest.raises(DependencyUnavailable, match="faster too often"):
        simulation.run(Rivals(simulation, with_claims=False).world)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_store_of_claims_that_fails_holds_nobody_up(seed: int) -> None:
    simulation = Simulation(seed)
    rivals = Rivals(simulation)
    rivals.claims.failing = True

    async def world() -> None:
        async with rivals.near.runtime.running(), rivals.far.runtime.running():
            await rivals.near.open_account("alice")
            await rivals.far.open_account("bob")
            for _ in range(TRANSFERS):
                await rivals.near.spend("alice")
                await rivals.far.spend("bob")

    rivals.near.runtime.run(world)
    assert rivals.claims.calls > 0
    assert max(rivals.near.answered_s) < 0.05


@pytest.mark.parametrize("seed", SEEDS[:5])
def test_a_writer_that_is_alone_looks_for_claims_beside_its_appends_and_now_and_then(seed: int) -> None:
    simulation = Simulation(seed)
    rivals = Rivals(simulation)

    async def world() -> None:
        async with rivals.near.runtime.running():
            await rivals.near.open_account("alice")
            ends_s = rivals.near.runtime.monotonic() + 3 * LOOK_INTERVAL_S
            while rivals.near.runtime.monotonic() < ends_s:
                await rivals.near.spend("alice")

    rivals.near.runtime.run(world)
    assert 3 <= rivals.claims.calls <= 4
    # There and back to load, and to append.
    assert max(rivals.near.answered_s) < 4 * 2 * NEAR_TRAVEL_S[1]
