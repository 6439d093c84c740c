"""What is said to a Redis Cluster, tried on three real masters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest

from adapters.redis.bus import RedisBus
from adapters.redis.driver.cluster import slot_of
from adapters.redis.driver.connect import connect
from adapters.redis.driver.interface import RedisDriver
from adapters.redis.driver.resp import ErrorReply
from adapters.redis.key_names import KeyNames
from domain.limits.admission import Admission, Charge, Identifier, IdentifierType, Verdict
from domain.limits.bans import BanPolicy
from ports.errors import DependencyUnavailable
from ports.runtime import Runtime
from tests.conformance.limiters import (
    ADDRESS,
    USER,
    Time,
    ask,
    connected,
    gather,
    policy,
    redis_limiter,
    seal,
)
from tests.conformance.runtimes import Driver
from tests.servers.redis_cluster import RedisCluster

WAIT_S_MAX = 20.0
KEY = Identifier(IdentifierType.API_KEY, "key_1")
LINK = Identifier(IdentifierType.IP, "2001:db8:0:101::/64")


def on_node(cluster: RedisCluster, names: KeyNames, number: int) -> Identifier:
    """A user whose keys lie on that node."""
    users = (Identifier(IdentifierType.USER, f"usr_{n}") for n in range(1_000))
    return next(
        user for user in users if cluster.owner(slot_of(names.identifier(user).ban)) is cluster.nodes[number]
    )


async def answered(call: Callable[[], Awaitable[Admission]]) -> bool:
    try:
        await call()
    except DependencyUnavailable:
        return False
    return True


@asynccontextmanager
async def warm(runtime: Runtime, cluster: RedisCluster) -> AsyncIterator[RedisDriver]:
    async with connected(runtime, cluster) as redis:
        await redis.reach()
        yield redis


def test_slots_are_those_of_the_server(run_real: Driver, redis_cluster: RedisCluster) -> None:
    async def body(runtime: Runtime) -> None:
        async with warm(runtime, redis_cluster) as redis:
            for key in (
                b"",
                b"123456789",
                b"a{b}c",
                b"a{}c",
                b"{",
                b"a{b",
                b"}{x}",
                b"{a}{b}",
                b"\xff{\x00}",
            ):
                assert await redis.execute("CLUSTER", "KEYSLOT", key) == slot_of(key)

    run_real(body)


def test_all_keys_of_an_identifier_and_its_network_share_a_slot() -> None:
    names = KeyNames(key=bytes(32))
    for identifier in (ADDRESS, USER, KEY, LINK):
        keys = names.identifier(identifier)
        wide = keys.network or keys
        together = [
            keys.ban,
            keys.violations,
            keys.window(policy()),
            wide.ban,
            wide.violations,
            wide.subnet_bans,
        ]
        assert len({slot_of(key) for key in together}) == 1
    session = names.session("ses_1")
    assert slot_of(session.session) == slot_of(session.sentinel)
    assert len({slot_of(key) for key in names.sentinels}) == len(names.sentinels)


def test_a_decision_is_one_call_a_slot(run_real: Driver, redis_cluster: RedisCluster) -> None:
    async def body(runtime: Runtime) -> None:
        async with warm(runtime, redis_cluster) as redis:
            limiter = redis_limiter(redis, None)
            charges = (Charge(USER, policy(9, name="user")), Charge(KEY, policy(9)), Charge(LINK, policy(9)))
            both = (*charges, Charge(LINK, policy(5, name="login")))
            assert (await ask(limiter, *both, session="ses_1")).verdict is Verdict.ALLOWED
            commands = redis.commands
            await ask(limiter, *both, session="ses_1")
            assert redis.commands - commands == 4
            commands = redis.commands
            await ask(limiter, Charge(LINK, policy(9)), Charge(LINK, policy(5, name="login")))
            assert redis.commands - commands == 1

    run_real(body)


def test_what_is_done_together_is_under_way_together_and_fails_when_all_has_ended(
    run_real: Driver, redis_cluster: RedisCluster
) -> None:
    async def body(runtime: Runtime) -> None:
        async with connected(runtime, redis_cluster) as redis:
            begun = [runtime.event() for _ in range(3)]
            ended: list[int] = []

            async def work(number: int) -> int:
                begun[number].set()
                for other in begun:
                    while not other.is_set():
                        await other.wait()
                if number == 0:
                    raise DependencyUnavailable("redis")
                ended.append(number)
                return number

            async with runtime.deadline(WAIT_S_MAX):
                with pytest.raises(DependencyUnavailable):
                    await redis.together([partial(work, number) for number in range(3)])
            assert sorted(ended) == [1, 2]
            assert await redis.together([partial(work, number) for number in (2, 1)]) == [2, 1]

    run_real(body)


def test_of_800_callers_with_identifiers_in_several_slots_exactly_10_pass_and_the_others_leave_nothing(
    run_real: Driver, redis_cluster: RedisCluster
) -> None:
    async def body(runtime: Runtime) -> None:
        async with warm(runtime, redis_cluster) as redis:
            limiter = redis_limiter(redis, Time(), BanPolicy(threshold=1_000))
            charges = (Charge(USER, policy(1_000, name="user")), Charge(ADDRESS, policy(10)))
            answers = await gather(runtime, lambda: ask(limiter, *charges), 800)
            verdicts = [answer.verdict for answer in answers]
            assert verdicts.count(Verdict.ALLOWED) == 10
            assert verdicts.count(Verdict.QUOTA_EXCEEDED) == 790
            assert (await limiter.status(USER, charges)).windows == (("user", 10),)
            status = await limiter.status(ADDRESS, charges)
            assert (status.windows, status.violations) == ((("ip", 10),), 790)
            assert (await limiter.status(USER, charges)).violations == 0

    run_real(body)


def test_a_slot_that_moved_is_followed_and_shakes_the_trust_in_revocations(
    run_real: Driver, redis_cluster: RedisCluster
) -> None:
    async def body(runtime: Runtime) -> None:
        async with warm(runtime, redis_cluster) as redis:
            limiter = redis_limiter(redis, None)
            names = limiter._names
            redis_cluster.empty()
            user = on_node(redis_cluster, names, 0)
            session = next(
                name
                for name in map("ses_{}".format, range(99))
                if redis_cluster.owner(slot_of(names.session(name).session)) is redis_cluster.nodes[2]
            )
            charge = Charge(user, policy(9))
            await limiter.restore_revocations({})
            assert (await ask(limiter, charge, session=session)).revocations_known
            slot = slot_of(names.identifier(user).ban)
            redis_cluster.nodes[0].ask("DEL", names.identifier(user).window(charge.policy))
            redis_cluster.move(slot, redis_cluster.nodes[1])
            try:
                admission = await ask(limiter, charge, session=session)
                assert admission.verdict is Verdict.ALLOWED
                assert not admission.revocations_known
                assert (await ask(limiter, charge)).standings[0].remaining == 7
                await limiter.restore_revocations({})
                assert (await ask(limiter, charge, session=session)).revocations_known
                redis_cluster.nodes[1].ask("DEL", names.identifier(user).window(charge.policy))
            finally:
                redis_cluster.move(slot, redis_cluster.nodes[0])
            assert (await ask(limiter, charge)).standings[0].remaining == 8

    run_real(body)


def test_a_slot_that_is_moving_is_asked_where_it_goes(run_real: Driver, redis_cluster: RedisCluster) -> None:
    async def body(runtime: Runtime) -> None:
        async with warm(runtime, redis_cluster) as redis:
            source, target = redis_cluster.nodes[:2]
            redis_cluster.empty()
            key = next(
                k
                for k in (f"moving:{n}" for n in range(999))
                if redis_cluster.owner(slot_of(k.encode())) is source
            )
            slot = slot_of(key.encode())
            target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.node_id)
            source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.node_id)
            try:
                assert await redis.execute("SET", key, "there", "PX", 60_000) == b"OK"
                assert await redis.execute_many([("GET", key), ("STRLEN", key)]) == [b"there", 5]
                assert await redis.execute("GET", key) == b"there"
                redis_cluster.move(slot, target)
                assert await redis.execute("GET", key) == b"there"
                assert await redis.execute("DEL", key) == 1
            finally:
                for node in (source, target):
                    node.ask("CLUSTER", "SETSLOT", slot, "STABLE")
                redis_cluster.move(slot, source)

    run_real(body)


def test_with_a_node_away_the_others_decide_and_its_return_is_enough(
    run_real: Driver, redis_cluster: RedisCluster
) -> None:
    async def body(runtime: Runtime) -> None:
        async with warm(runtime, redis_cluster) as redis:
            limiter = redis_limiter(redis, None)
            here, away = (Charge(on_node(redis_cluster, limiter._names, n), policy(99)) for n in (0, 2))
            await ask(limiter, here, away)
            redis_cluster.nodes[2].kill()
            try:
                for _ in range(3):
                    assert (await ask(limiter, here)).verdict is Verdict.ALLOWED
                    with pytest.raises(DependencyUnavailable, match="redis"):
                        await ask(limiter, away)
                    with pytest.raises(DependencyUnavailable, match="redis"):
                        await ask(limiter, here, away)
                    with pytest.raises(DependencyUnavailable, match="redis"):
                        await redis.reach()
            finally:
                redis_cluster.nodes[2].start()
                redis_cluster.wait_until_ready()
            async with runtime.deadline(WAIT_S_MAX):
                while not await answered(partial(ask, limiter, here, away)):
                    await runtime.sleep(0.02)

    run_real(body)


def test_one_flushed_node_is_not_trusted_for_its_sessions_and_the_others_are(
    run_real: Driver, redis_cluster: RedisCluster
) -> None:
    async def body(runtime: Runtime) -> None:
        async with warm(runtime, redis_cluster) as redis:
            limiter = redis_limiter(redis, None)
            await limiter.restore_revocations({})
            redis_cluster.nodes[1].ask("FLUSHALL")
            for number in range(40):
                session = f"ses_{number}"
                node = redis_cluster.owner(slot_of(limiter._names.session(session).session))
                admission = await ask(limiter, Charge(USER, policy(1_000)), session=session)
                assert admission.revocations_known == (node is not redis_cluster.nodes[1])
            await limiter.restore_revocations({})
            admissions = [
                await ask(limiter, Charge(USER, policy(1_000)), session=f"ses_{n}") for n in range(40)
            ]
            assert all(admission.revocations_known for admission in admissions)

    run_real(body)


def test_every_key_on_every_node_expires(run_real: Driver, redis_cluster: RedisCluster) -> None:
    async def body(runtime: Runtime) -> None:
        redis_cluster.empty()
        async with warm(runtime, redis_cluster) as redis:
            limiter = redis_limiter(redis, None)
            for number in range(5):
                link = Identifier(IdentifierType.IP, f"2001:db8:0:1{number:02x}::/64")
                for _ in range(5):
                    await ask(limiter, Charge(KEY, policy(99)), Charge(link, policy(1)), session="ses_1")
            await limiter.ban(USER, duration_ms=None, jitter=0.0, reason="by hand")
            await limiter.violate(ADDRESS, jitter=0.0)
            await limiter.revoke_session("ses_2", ttl_ms=1_000)
            await limiter.restore_revocations({"ses_3": 1_000})

    run_real(body)
    kinds: set[bytes] = set()
    for node in redis_cluster.nodes:
        with node.client() as client:
            for key in client.scan_iter():
                kinds.add(key.split(b":")[0])
                assert client.pttl(key) > 0, key
    assert kinds == {b"ratelimit", b"violations", b"banned", b"bans", b"revoked", b"revocations"}


def test_a_message_that_one_publishes_reaches_who_listens_at_another_node(
    run_real: Driver, redis_cluster: RedisCluster
) -> None:
    async def body(runtime: Runtime) -> None:
        async with warm(runtime, redis_cluster) as one, warm(runtime, redis_cluster) as other:
            buses = [
                RedisBus(runtime=runtime, driver=d, naming_key=bytes(32), seal=seal, open_sealed=seal)
                for d in (one, other)
            ]
            heard: list[bytes] = []
            for number in range(6):
                await buses[1].subscribe(f"room {number}", heard.append)
                await buses[0].publish(f"room {number}", b"%d" % number)
            async with runtime.deadline(WAIT_S_MAX):
                while len(heard) < 6:
                    await runtime.sleep(0.001)
            assert sorted(heard) == [b"%d" % number for number in range(6)]
            for bus in buses:
                await bus.close()

    run_real(body)


def test_a_cluster_of_which_no_node_answers_is_given_up_in_bounded_time(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        redis = connect(runtime, url="redis+cluster://127.0.0.1:1,127.0.0.1:2", connect_timeout_ms_max=300)
        async with runtime.deadline(WAIT_S_MAX):
            for _ in range(3):
                with pytest.raises(DependencyUnavailable, match="redis"):
                    await redis.execute("GET", "key")
        await redis.close()

    run_real(body)


def test_a_refusal_of_another_kind_is_handed_on(run_real: Driver, redis_cluster: RedisCluster) -> None:
    async def body(runtime: Runtime) -> None:
        async with warm(runtime, redis_cluster) as redis:
            await redis.execute("SET", "text", "x", "PX", 60_000)
            reply = await redis.execute("INCR", "text")
            assert isinstance(reply, ErrorReply)
            assert reply.code == "ERR"

    run_real(body)


@pytest.mark.parametrize("url", ["redis+cluster://", "redis+cluster://,", "redis+cluster://user@:6379"])
def test_a_cluster_without_a_node_is_refused(run_real: Driver, url: str) -> None:
    async def body(runtime: Runtime) -> None:
        with pytest.raises(ValueError, match="node"):
            connect(runtime, url=url)

    run_real(body)
