"""What is stored under which key: read by commands that change keys."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from adapters.mongo.key_usage import KeyUsage, key_usage
from composition.config.load import load
from composition.config.settings import StoreName
from composition.wiring.live_store import connect_mongo
from composition.wiring.platform import RuntimeName, make_runtime


def stored_key_usage(environ: Mapping[str, str]) -> KeyUsage:
    """Of every encrypted field in MongoDB. Raises `ConfigurationInvalid`, `DependencyUnavailable`."""
    settings, secrets = load(environ, StoreName.LIVE)
    runtime = make_runtime(RuntimeName.ASYNCIO)

    async def main() -> KeyUsage:
        async with runtime.running():
            pools = await connect_mongo(runtime, settings, secrets)
            try:
                await pools.learn_names()
                return await key_usage(pools.admin)
            finally:
                await pools.close()

    return asyncio.run(main())
