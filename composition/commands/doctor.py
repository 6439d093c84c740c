"""`creditctl doctor`: checks the configuration and every dependency of the service.

It changes nothing but what its probes write: a document for each role, and keys in Redis that expire.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial

from adapters.mongo import probes
from adapters.mongo.catalog import CATALOG
from adapters.mongo.indexes import MISSING, differences
from adapters.mongo.ledger.journal import MongoJournal
from adapters.mongo.ledger.server_clock import sample
from adapters.mongo.pools import MongoPools
from adapters.redis.driver.connect import connect as connect_redis
from adapters.redis.driver.interface import RedisDriver, accepted
from adapters.redis.probes import RedisProbe
from adapters.runtime.system import SystemClock
from composition.config.load import ConfigurationInvalid, load_configuration
from composition.config.secrets import Secrets
from composition.config.settings import Settings, StoreName
from composition.exit_codes import EXIT_FAILED
from composition.hosting.logging import redacted
from composition.wiring.live_store import connect_mongo, redis_limiter
from composition.wiring.platform import RuntimeName, make_runtime
from domain.identity.api_keys import DEFAULT_BOOK
from ports.errors import DependencyUnavailable
from ports.runtime import Runtime

CLOCK_SKEW_MS_MAX = 1_000
"""The ledger uses MongoDB's clock, while sessions, tokens and API keys expire by that of this machine."""
REDIS_TIMEOUT_MS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One check and its result."""

    check: str
    good: bool
    detail: str


class Unfit(Exception):
    """A dependency answers, but does not meet the needs of the service."""


def run(environ: Mapping[str, str], *, as_json: bool) -> int:
    """Prints the result of every check. The exit code: 0 when all are good, else 1."""
    findings = _findings(environ)
    if as_json:
        report = {
            "good": all(finding.good for finding in findings),
            "checks": [asdict(finding) for finding in findings],
        }
        print(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        for finding in findings:
            print(f"{'good' if finding.good else 'BAD '}  {finding.check}: {finding.detail}")
    return 0 if all(finding.good for finding in findings) else EXIT_FAILED


def _findings(environ: Mapping[str, str]) -> list[Finding]:
    try:
        configuration, secrets = load_configuration(environ, StoreName.LIVE)
    except ConfigurationInvalid as error:
        return [Finding("configuration", good=False, detail=problem) for problem in error.problems]
    good = Finding("configuration", good=True, detail=configuration.summary())
    return [good, *asyncio.run(_examine(configuration.settings, secrets))]


async def _examine(settings: Settings, secrets: Secrets) -> list[Finding]:
    runtime = make_runtime(RuntimeName.ASYNCIO)
    async with runtime.running():
        pools = await connect_mongo(runtime, settings, secrets)
        redis = connect_redis(
            runtime,
            url=settings.redis_url,
            password=secrets.redis_password,
            decision_timeout_ms_max=REDIS_TIMEOUT_MS_MAX,
        )
        try:
            probe = RedisProbe(driver=redis, limiter=redis_limiter(redis, settings, secrets))
            return await _Examination(pools, redis, probe, runtime).findings()
        finally:
            await redis.close()
            await pools.close()


REDIS = "redis"


class _Examination:
    """Tries each dependency once, and reports an unreachable one in every check that needs it: a second try
    might word the same fault differently."""

    def __init__(
        self, pools: MongoPools, redis: RedisDriver, redis_probe: RedisProbe, runtime: Runtime
    ) -> None:
        self._pools = pools
        self._redis = redis
        self._redis_probe = redis_probe
        self._runtime = runtime
        self._drivers = {
            probe.role: driver
            for probe, driver in zip(
                pools.probes(), (pools.read_write, pools.read_only, pools.admin), strict=True
            )
        }
        self._unreached: dict[str, str] = {}

    async def findings(self) -> list[Finding]:
        # Concurrently, since each unreachable dependency takes its timeout.
        reaching = [
            self._runtime.start(partial(self._reach, name), name="doctor") for name in (*self._drivers, REDIS)
        ]
        for task in reaching:
            await task.wait()
        checks: list[tuple[str, tuple[str, ...], Callable[[], Awaitable[str]]]] = [
            ("mongo replica set", ("read_write",), self._pools.replica_set),
            ("mongo roles", (), self._roles),
            ("mongo indexes", ("admin",), self._indexes),
            ("mongo names", tuple(self._drivers), self._names),
            ("mongo work", tuple(self._drivers), self._work),
            ("clock", ("read_write",), self._clock),
            ("ledger head", ("read_write",), self._ledger_head),
            ("redis", (REDIS,), self._redis_answers),
            ("redis eviction", (REDIS,), self._redis_eviction),
        ]
        tasks = [
            self._runtime.start(partial(self._finding, name, needs, check), name="doctor")
            for name, needs, check in checks
        ]
        return [await task.wait() for task in tasks]

    async def _reach(self, name: str) -> None:
        try:
            await (self._redis.reach() if name == REDIS else self._drivers[name].command({"ping": 1}))
        except DependencyUnavailable as error:
            self._unreached[name] = error.reason
        except Exception as error:  # noqa: BLE001 - as below
            self._unreached[name] = f"{type(error).__name__}: {error}"

    async def _finding(
        self, name: str, needs: tuple[str, ...], check: Callable[[], Awaitable[str]]
    ) -> Finding:
        faults = [self._unreached[need] for need in needs if need in self._unreached]
        if faults:
            return Finding(name, good=False, detail=redacted("; ".join(faults)))
        try:
            return Finding(name, good=True, detail=redacted(await check()))
        except DependencyUnavailable as error:
            return Finding(name, good=False, detail=redacted(error.reason))
        except Unfit as error:
            return Finding(name, good=False, detail=redacted(str(error)))
        except Exception as error:  # noqa: BLE001 - the failure of one check must not hide the others
            return Finding(name, good=False, detail=redacted(f"{type(error).__name__}: {error}"))

    async def _roles(self) -> str:
        held = []
        for role, driver in self._drivers.items():
            if role in self._unreached:
                continue
            status = await driver.command({"connectionStatus": 1})
            roles = status["authInfo"]["authenticatedUserRoles"]
            if not roles:
                raise Unfit(f"the user of {role} has no role")
            held.append(f"{role}: {', '.join(sorted({granted['role'] for granted in roles}))}")
        faults = [fault for name, fault in self._unreached.items() if name != REDIS]
        if faults:
            raise Unfit("; ".join(dict.fromkeys(faults)))
        return "; ".join(held)

    async def _indexes(self) -> str:
        await self._pools.learn_names()
        found = await differences(self._pools.admin, CATALOG)
        missing = [f"{each.collection}.{each.index.name}" for each in found if each.detail == MISSING]
        faults = [str(each) for each in found if each.detail != MISSING]
        if missing:
            faults.append(f"missing (the service makes them when it starts): {', '.join(missing)}")
        if faults:
            raise Unfit("; ".join(faults))
        wanted = [indexes for declared in CATALOG for indexes in declared.values()]
        return f"{sum(map(len, wanted))} in {len(wanted)} collections"

    async def _names(self) -> str:
        earlier = await self._pools.learn_names()
        if earlier:
            return f"those of an earlier release ({', '.join(earlier)}): run init-scripts/mongodb-init.js"
        return "each collection has its own"

    async def _work(self) -> str:
        """Runs the probe of each role, as the service does, which creates their collection at its start."""
        if await differences(self._pools.admin, [probes.INDEXES]):
            return "not tried: the service has not started here yet"
        for probe in self._pools.probes():
            try:
                await probe.check()
            except DependencyUnavailable as error:
                raise Unfit(f"{probe.role}: {error.reason}") from error
        return "each role reads or writes as it must"

    async def _clock(self) -> str:
        theirs = await sample(self._pools.read_write, self._runtime)
        now_s = self._runtime.monotonic()
        skew_ms = theirs.time_ms(now_s) - SystemClock().now_ms()
        if abs(skew_ms) > CLOCK_SKEW_MS_MAX:
            raise Unfit(f"MongoDB's clock differs from this machine's by {skew_ms} ms")
        return f"MongoDB's differs by {skew_ms} ms (± {theirs.uncertainty_ms(now_s):.0f} ms)"

    async def _ledger_head(self) -> str:
        head = await MongoJournal(self._pools.read_write).head(DEFAULT_BOOK)
        return "the book main is empty" if head is None else f"the book main is at {head.seq}"

    async def _redis_answers(self) -> str:
        started_s = self._runtime.monotonic()
        await self._redis_probe.check()
        return f"decides and remembers in {(self._runtime.monotonic() - started_s) * 1000:.1f} ms"

    async def _redis_eviction(self) -> str:
        reply = accepted(await self._redis.execute("INFO", "memory"))
        lines = reply.decode().splitlines() if isinstance(reply, bytes) else []
        policy = next((line.partition(":")[2] for line in lines if line.startswith("maxmemory_policy:")), "")
        if policy != "noeviction":
            raise Unfit(f"maxmemory-policy is {policy or 'unknown'}: it would forget bans; set noeviction")
        return policy
