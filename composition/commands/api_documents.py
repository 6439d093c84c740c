"""`creditctl openapi` and `creditctl asyncapi`: the API documents."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from adapters.web.api_documents.asyncapi import asyncapi_document
from adapters.web.api_documents.openapi import openapi_document
from adapters.web.api_documents.routes import document_routes
from adapters.web.route import Route
from composition.config.load import load
from composition.config.settings import StoreName
from composition.hosting.assembly import assemble
from composition.wiring.edge import TITLE
from composition.wiring.platform import RuntimeName
from plugins.version import service_version


def print_openapi() -> int:
    """Prints the document of `GET /openapi.json`. The exit code."""
    print(json.dumps(asyncio.run(_document()), indent=2, ensure_ascii=False))
    return 0


def print_asyncapi() -> int:
    """Prints the document of `GET /asyncapi.json`. The exit code."""
    document = asyncapi_document(title=TITLE, version=service_version())
    print(json.dumps(document, indent=2, ensure_ascii=False))
    return 0


async def served_routes() -> tuple[Route, ...]:
    """Every route of the service with all installed plugins."""
    # Routes depend on the plugins alone, so the memory store and the default settings suffice.
    settings, secrets = load({}, StoreName.MEMORY)
    platform, manager = assemble(StoreName.MEMORY, RuntimeName.ASYNCIO, settings, secrets)
    async with platform.runtime.running():
        await manager.start()
        try:
            routes = manager.routes.routes
            title, version = TITLE, service_version()
            return (*routes, *document_routes(routes, title=title, version=version, runtime=platform.runtime))
        finally:
            await manager.stop()


async def _document() -> dict[str, Any]:
    return openapi_document(await served_routes(), title=TITLE, version=service_version())
