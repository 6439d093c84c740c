"""The OpenAPI document says what the routes do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ports.runtime import Runtime
from tests.conformance.runtimes import Driver
from tests.web.probe_routes import ROUTES
from tests.web.service import Options, open_service


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, member in value.items():
            if name == "$ref":
                yield member
            else:
                yield from references(member)
    elif isinstance(value, list):
        for member in value:
            yield from references(member)


def test_every_route_stands_in_the_document_with_its_shapes(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(routes=ROUTES))
        reply = await service.client.request("GET", "/openapi.json")
        assert reply.status == 200
        document = reply.json()
        assert document["openapi"] == "3.1.0"
        operations = {
            operation["operationId"]: operation
            for path in document["paths"].values()
            for operation in path.values()
        }
        assert {"about", "register", "login", "order", "owned", "live", "ready", "metrics"} < set(operations)
        assert document["paths"]["/owned/{owner}"]["get"]["parameters"][0]["name"] == "owner"
        order = operations["order"]
        assert "201" in order["responses"]
        amount = order["requestBody"]["content"]["application/json"]["schema"]["properties"]["amount"]
        assert (amount["minimum"], amount["maximum"]) == (1, 10**15)
        assert [parameter["name"] for parameter in order["parameters"]] == ["count", "text", "at"]
        assert operations["login"]["security"] == []
        assert operations["show_me"]["security"] == [{"bearer": []}]
        assert operations["create_api_key"]["security"] == [{"bearer": []}, {"apiKey": []}]

    run_real(body)


def test_every_reference_leads_somewhere_and_every_pattern_is_portable(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(routes=ROUTES))
        reply = await service.client.request("GET", "/openapi.json")
        document = reply.json()
        known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
        found = set(references(document))
        assert found
        assert found <= known
        assert not re.search(rb"\\\\Z", reply.body)
        assert reply.body == (await service.client.request("GET", "/openapi.json")).body

    run_real(body)
