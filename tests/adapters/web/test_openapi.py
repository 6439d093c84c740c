"""The OpenAPI document says what the routes do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from ports.runtime import Runtime
from tests.adapters.web.credits import House, live
from tests.adapters.web.probe_routes import ROUTES
from tests.adapters.web.schemas import references
from tests.adapters.web.service import Options, open_service
from tests.conformance.runtimes import Driver
from tests.ground.sources import PROJECT


def resolved(document: dict[str, Any], value: Any) -> Any:
    """What a reference leads to, and whatever that leads to; anything else as it is."""
    while "$ref" in value:
        place: Any = document
        for step in value["$ref"].removeprefix("#/").split("/"):
            place = place[step]
        value = place
    return value


def parameters_of(document: dict[str, Any], operation: dict[str, Any]) -> list[dict[str, Any]]:
    return [resolved(document, each) for each in operation["parameters"]]


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
        (owner, device) = parameters_of(document, document["paths"]["/owned/{owner}"]["get"])
        assert (owner["name"], owner["in"], device["name"]) == ("owner", "path", "X-Device-Id")
        order = operations["order"]
        assert "201" in order["responses"]
        body = resolved(document, order["requestBody"]["content"]["application/json"]["schema"])
        amount = body["properties"]["amount"]
        assert (amount["minimum"], amount["maximum"]) == (1, 10**15)
        names = [each["name"] for each in parameters_of(document, order) if each["in"] == "query"]
        assert names == ["count", "text", "at"]
        assert operations["login"]["security"] == []
        assert operations["show_me"]["security"] == [{"bearer": []}]
        assert operations["create_api_key"]["security"] == [{"bearer": []}, {"apiKey": []}]

    run_real(body)


def test_every_reference_leads_somewhere_and_every_pattern_is_portable(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(routes=ROUTES))
        reply = await service.client.request("GET", "/openapi.json")
        document = reply.json()
        known = {
            f"#/components/{kind}/{name}"
            for kind, members in document["components"].items()
            for name in members
        }
        found = set(references(document))
        # Nothing leads nowhere, and nothing is there that nobody asks for.
        assert found == {each for each in known if "/securitySchemes/" not in each}
        assert not re.search(rb"\\\\Z", reply.body)
        assert reply.body == (await service.client.request("GET", "/openapi.json")).body

    run_real(body)


def schema_of(name: str) -> Draft202012Validator:
    text = (PROJECT / "tests" / "schemas" / f"{name}.json").read_text(encoding="utf-8")
    return Draft202012Validator(json.loads(text))


def operations_of(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_the_document_of_the_whole_service_is_openapi_3_1(run_real: Driver) -> None:
    async def story(house: House) -> None:
        document = (await house.get("/openapi.json", {})).json()
        schema_of("openapi-3.1").validate(document)
        for schema in document["components"]["schemas"].values():
            Draft202012Validator.check_schema(schema)
        names = [operation["operationId"] for _, _, operation in operations_of(document)]
        assert len(names) == len(set(names))
        for path, method, operation in operations_of(document):
            parameters = parameters_of(document, operation)
            declared = [each["name"] for each in parameters if each["in"] == "path"]
            assert sorted(declared) == sorted(re.findall(r"{(\w+)}", path)), (method, path)
            assert all(each["required"] for each in parameters if each["in"] == "path")
            assert operation["summary"], (method, path)

    live(run_real, story)


def test_every_route_of_the_ledger_says_how_it_refuses(run_real: Driver) -> None:
    async def story(house: House) -> None:
        document = (await house.get("/openapi.json", {})).json()
        paths = document["paths"]

        def codes(method: str, path: str) -> dict[str, list[str]]:
            found = {}
            for status, reference in paths[path][method]["responses"].items():
                if status.startswith("4") and status != "401":
                    response = resolved(document, reference)
                    content = response["content"]["application/problem+json"]
                    assert content["schema"] == {"$ref": "#/components/schemas/ProblemDocument"}
                    found[status] = list(content["examples"])
                    assert all(f"`{code}`: " in response["description"] for code in found[status])
            return found

        assert codes("post", "/credits/transfers/{transfer_id}/reverse") == {
            "404": ["not_found"],
            "409": [
                "idempotency_conflict",
                "transfer_already_reversed",
                "insufficient_funds",
                "too_many_lots",
            ],
            "422": ["transfer_not_reversible", "amount_exceeds_transfer", "balance_overflow"],
        }
        assert "batch_rejected" in paths["/credits/transfers/batch"]["post"]["description"]
        assert codes("post", "/credits/transfers/batch").keys() == {"409"}
        assert codes("get", "/credits/accounts/{account_id}") == {"404": ["account_not_found"]}
        for path, methods in paths.items():
            if path.startswith("/credits") and "post" in methods and path != "/credits/ledger/verify":
                assert "idempotency_conflict" in codes("post", path)["409"], path

    live(run_real, story)


def test_every_route_that_asks_who_is_there_says_what_it_tells_bad_credentials(run_real: Driver) -> None:
    async def story(house: House) -> None:
        document = (await house.get("/openapi.json", {})).json()
        asking = 0
        for path, method, operation in operations_of(document):
            if not operation["security"]:
                continue
            asking += 1
            response = resolved(document, operation["responses"]["401"])
            codes = set(response["content"]["application/problem+json"]["examples"])
            named = {"not_authenticated", "invalid_token", "device_mismatch", "invalid_credentials"}
            assert codes >= named | {"invalid_signature"}, (method, path)
        assert asking > 30
        refresh = resolved(document, document["paths"]["/auth/refresh"]["post"]["responses"]["401"])
        assert "`device_mismatch`" in refresh["description"]
        assert "`X-Device-Id`" in refresh["description"]
        for scheme in document["components"]["securitySchemes"].values():
            assert scheme["description"]

    live(run_real, story)


def test_the_document_names_the_headers_that_a_client_needs(run_real: Driver) -> None:
    async def story(house: House) -> None:
        document = (await house.get("/openapi.json")).json()
        taken: dict[str, set[str]] = {
            f"{method.upper()} {path}": {
                each["name"] for each in parameters_of(document, operation) if each["in"] == "header"
            }
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        }
        assert taken["POST /auth/login"] == taken["POST /auth/refresh"] == {"X-Device-Id"}
        assert taken["GET /users/me"] == {"X-Device-Id"}
        assert taken["POST /auth/register"] == {"Idempotency-Key"}
        for route in (
            "POST /admin/bans",
            "DELETE /admin/bans/{type}/{identifier}",
            "DELETE /admin/limits/{type}/{identifier}",
        ):
            assert taken[route] == {"X-Device-Id", "Idempotency-Key"}
        assert taken["POST /credits/transfers"] == {"X-Device-Id", "Idempotency-Key"}
        assert taken["GET /"] == taken["GET /health/live"] == set()

    live(run_real, story)
