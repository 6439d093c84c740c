"""`creditctl openapi`: the document of the routes that the plugins register."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from adapters.web.documents import openapi_document
from composition.edge import TITLE
from composition.load import load
from composition.process import RuntimeName
from composition.service import assemble
from composition.stores import StoreName
from plugins.main.plugin import service_version


def print_openapi() -> int:
    """The same document as `GET /openapi.json`."""
    print(json.dumps(asyncio.run(_document()), indent=2, ensure_ascii=False))
    return 0


async def _document() -> dict[str, Any]:
    # The routes depend on the plugins alone, so any store and the default settings will do.
    settings, secrets = load({}, StoreName.MEMORY)
    around, manager = assemble(StoreName.MEMORY, RuntimeName.ASYNCIO, settings, secrets)
    async with around.runtime.running():
        await manager.start()
        try:
            return openapi_document(manager.routes.routes, title=TITLE, version=service_version())
        finally:
            await manager.stop()
