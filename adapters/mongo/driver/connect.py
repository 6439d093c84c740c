"""Opens a pool of connections: which client fits the runtime, and how it is set up."""

from __future__ import annotations

from typing import Any, Final, Literal

from pymongo import AsyncMongoClient, MongoClient

from adapters.mongo.driver.client import Bounds, ClientDriver
from adapters.mongo.driver.execution import AwaitedExecution, Execution, ThreadedExecution
from adapters.mongo.driver.heartbeats import Heartbeats
from ports.runtime import Runtime

DriverName = Literal["pymongo", "motor"]
DEFAULT_BOUNDS: Final = Bounds()


async def connect(
    *,
    runtime: Runtime,
    url: str,
    user: str | None = None,
    password: str | None = None,
    role: str = "",
    driver: DriverName = "pymongo",
    bounds: Bounds = DEFAULT_BOUNDS,
) -> ClientDriver:
    """A driver for this runtime, from inside it: an async client belongs to its running loop.

    Does not wait for the server. The URL names hosts, database and TLS; it carries no credentials. `role`
    says in errors whose connection it is. Raises PyMongo's `ConfigurationError` or `InvalidURI` for a
    malformed URL.
    """
    heartbeats = Heartbeats(url, role=role)
    options: dict[str, Any] = {
        "event_listeners": [heartbeats],
        "appname": "credit-system",
        "serverSelectionTimeoutMS": bounds.server_selection_timeout_ms_max,
        "connectTimeoutMS": bounds.connect_timeout_ms_max,
        "maxPoolSize": bounds.connections_max,
        "retryWrites": True,
        "retryReads": True,
    }
    if user is not None:
        options |= {"username": user, "password": password}
        if "authsource=" not in url.lower():
            # PyMongo's own default would be the URL's database; the service's users live in `admin`.
            options["authSource"] = "admin"
    client: Any
    execution: Execution = AwaitedExecution(runtime=runtime)
    if runtime.name == "trio":
        client = MongoClient(url, connect=False, **options)
        execution = ThreadedExecution(runtime=runtime)
    elif driver == "motor":
        from motor.motor_asyncio import AsyncIOMotorClient  # noqa: PLC0415 - only the extra `motor` has it

        client = AsyncIOMotorClient(url, **options)
    else:
        client = AsyncMongoClient(url, **options)
    return ClientDriver(
        client=client, execution=execution, heartbeats=heartbeats, runtime=runtime, bounds=bounds
    )
