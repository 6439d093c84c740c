"""The ledger's clock on a real MongoDB, over every client."""

from __future__ import annotations

import time

import pytest

from adapters.mongo.driver.connect import DriverName
from adapters.mongo.ledger.server_clock import UNCERTAINTY_MS_MAX, ServerClock, sample
from ports.errors import DependencyUnavailable
from ports.runtime import Runtime
from tests.conformance.identity import connect_as_app
from tests.conformance.runtimes import Driver
from tests.servers.mongod import MongodServer

YEAR_S = 365 * 24 * 3_600


@pytest.fixture(params=["pymongo", "motor"])
def driver_name(request: pytest.FixtureRequest) -> DriverName:
    name: DriverName = request.param
    return name


def test_a_host_a_year_ahead_tells_the_time_of_the_primary(
    run_real: Driver, mongod: MongodServer, driver_name: DriverName, monkeypatch: pytest.MonkeyPatch
) -> None:
    # mongod runs on this machine, so before the host is set ahead its time is the right one.
    true_ns = time.time_ns

    async def body(runtime: Runtime) -> None:
        monkeypatch.setattr(time, "time", lambda: true_ns() / 1e9 + YEAR_S)
        monkeypatch.setattr(time, "time_ns", lambda: true_ns() + YEAR_S * 10**9)
        driver = await connect_as_app(runtime, mongod, mongod.url, driver_name)
        clock = ServerClock(driver=driver, runtime=runtime)
        try:
            await clock.start()
            before_ms = true_ns() / 1e6
            told_ms = clock.now_ms()
            after_ms = true_ns() / 1e6
            assert before_ms - UNCERTAINTY_MS_MAX <= told_ms <= after_ms + UNCERTAINTY_MS_MAX
            primary, election = (await sample(driver, runtime)).primary
            assert primary == f"{mongod.host}:{mongod.port}"
            assert election is not None
        finally:
            await clock.stop()
            await driver.close()

    run_real(body)


def test_the_clock_does_not_start_without_a_primary(
    run_real: Driver, mongod: MongodServer, driver_name: DriverName
) -> None:
    async def body(runtime: Runtime) -> None:
        driver = await connect_as_app(runtime, mongod, mongod.url, driver_name)
        await driver.close()
        clock = ServerClock(driver=driver, runtime=runtime)
        with pytest.raises(DependencyUnavailable, match="mongo"):
            await clock.start()
        with pytest.raises(DependencyUnavailable, match="ledger clock"):
            clock.now_ms()

    run_real(body)
