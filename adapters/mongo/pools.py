"""Three pools under three database users, so that a role's limits are the server's, not a promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from adapters.mongo.driver.client import Bounds, ClientDriver
from adapters.mongo.driver.connect import DriverName, connect
from adapters.mongo.driver.interface import MongoDriver
from adapters.mongo.probes import ADMIN, READ_ONLY, READ_WRITE, MongoProbe
from ports.runtime import Runtime

READ_ONLY_CONNECTIONS_MAX = 16
ADMIN_CONNECTIONS_MAX = 4


@dataclass(frozen=True, slots=True)
class MongoLogin:
    """One database user."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class MongoPools:
    """The application's, the analysts' and the administrator's way into one database."""

    read_write: ClientDriver
    read_only: ClientDriver
    admin: ClientDriver

    def probes(self) -> Sequence[MongoProbe]:
        return (
            MongoProbe(driver=self.read_write, role=READ_WRITE),
            MongoProbe(driver=self.read_only, role=READ_ONLY),
            MongoProbe(driver=self.admin, role=ADMIN),
        )

    async def replica_set(self) -> str:
        """Its name. Raises `DependencyUnavailable` when the server is of none: it answers, and every
        transaction and every write for a majority would fail."""
        hello = await self.read_write.command({"hello": 1})
        name = hello.get("setName")
        if not isinstance(name, str):
            raise self.read_write.unfit("is of no replica set: transactions and majority writes need one")
        return name

    async def learn_names(self) -> Sequence[str]:
        """The earlier names that collections still stand under. Each pool goes by those that stand."""
        for driver in (self.read_write, self.read_only):
            await driver.learn_names(asking=self.admin)
        return await self.admin.learn_names()

    async def close(self) -> None:
        for driver in (self.read_write, self.read_only, self.admin):
            await driver.close()


async def connect_pools(
    *,
    runtime: Runtime,
    url: str,
    read_write: MongoLogin,
    read_only: MongoLogin,
    admin: MongoLogin,
    driver: DriverName = "pymongo",
    operation_timeout_ms_max: int = 5_000,
    connections_max: int = 32,
) -> MongoPools:
    """All three, from inside the running loop. Does not wait for the server."""

    async def pool(role: str, credentials: MongoLogin, connections: int) -> ClientDriver:
        return await connect(
            runtime=runtime,
            url=url,
            user=credentials.user,
            password=credentials.password,
            role=role,
            driver=driver,
            bounds=Bounds(operation_timeout_ms_max=operation_timeout_ms_max, connections_max=connections),
        )

    return MongoPools(
        read_write=await pool(READ_WRITE, read_write, connections_max),
        read_only=await pool(READ_ONLY, read_only, READ_ONLY_CONNECTIONS_MAX),
        admin=await pool(ADMIN, admin, ADMIN_CONNECTIONS_MAX),
    )


def _fits(driver: ClientDriver) -> MongoDriver:
    return driver
