"""The OpenAPI document, made from the routes by quart-schema.

It is made from an application that never serves: the one that does stays free of the wrappers that
quart-schema lays around every response. What quart-schema leaves out for msgspec (nested types,
refusals, who may call) is completed here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from adapters.web.route import Route
from domain.access import PermissionKind

_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")

_REFERENCE = "#/components/schemas/{name}"
_SECURITY_SCHEMES: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "bearer_format": "JWT"},
    "apiKey": {"type": "apiKey", "in_": "header", "name": "X-API-Key"},
}


_DEVICE: dict[str, Any] = {
    "name": "X-Device-Id",
    "in": "header",
    "description": "The `device_id` of the login, for a client that keeps no cookie: a token is good "
    "only on the device that it was given to. A login without one makes one.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.:-]{16,64}$"},
}
_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Of the caller's choice: the same request under the same key is carried out once, and "
    "answered again with `Idempotent-Replayed: true`.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}


class ProblemDocument(msgspec.Struct, rename={"type_": "type"}):
    """A refusal or a failure (RFC 9457). `code` is stable."""

    type_: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str


def openapi_document(routes: Sequence[Route], *, title: str, version: str) -> dict[str, Any]:
    """OpenAPI 3.1. Takes tens of milliseconds and imports quart-schema."""
    from quart import Quart  # noqa: PLC0415 - start-up must not pay for what few ask for
    from quart_schema import QuartSchema  # noqa: PLC0415 - as above

    routes = [route for route in routes if route.in_document]
    app = Quart("documents", static_folder=None)
    for route in routes:
        # quart-schema takes two parameters for one where the second has a converter.
        path = _PARAMETER.sub(r"<\1>", route.path)
        app.add_url_rule(path, endpoint=route.name, view_func=_documented(route), methods=[route.method])
    extension = QuartSchema(
        openapi_path=None,
        info={"title": title, "version": version},
        conversion_preference="msgspec",
        security_schemes=_SECURITY_SCHEMES,
    )
    extension.init_app(app)
    document = msgspec.to_builtins(extension.openapi_provider.schema(), str_keys=True)
    for route in routes:
        _complete(document["paths"][_template(route.path)][route.method.lower()], route)
    document["paths"] |= _operations()
    document["components"]["schemas"] = _schemas(routes)
    whole: dict[str, Any] = _with_portable_patterns(document)
    return whole


def _documented(route: Route) -> Callable[..., Coroutine[Any, Any, str]]:
    from quart_schema import (  # noqa: PLC0415 - as above
        document_querystring,
        document_request,
        document_response,
        tag,
    )

    async def view(**_path: str) -> str:
        return route.name

    if route.body is not None:
        view = document_request(route.body)(view)
    if route.query is not None:
        view = document_querystring(route.query)(view)
    if route.answer is not None:
        view = document_response(route.answer, route.success)(view)
    return tag(route.tags)(view)


def _complete(operation: dict[str, Any], route: Route) -> None:
    operation["operationId"] = route.name
    operation["summary"] = route.summary
    operation.pop("description", None)
    if route.description:
        operation["description"] = route.description
    success = operation["responses"].setdefault(str(route.success), {})
    for status in (*route.other_successes, route.success):
        operation["responses"][str(status)] = {**success, "description": HTTPStatus(status).phrase}
    operation["responses"] |= _problems(route)
    headers = [_DEVICE] * route.knows_device + [_KEY] * _takes_key(route)
    operation["parameters"] = [*operation.get("parameters", ()), *headers]
    if route.permission.kind is PermissionKind.PUBLIC:
        operation["security"] = []
    elif route.permission.kind is PermissionKind.USER:
        operation["security"] = [{"bearer": []}]
    else:
        operation["security"] = [{"bearer": []}, {"apiKey": []}]
    if "requestBody" in operation:
        operation["requestBody"]["required"] = not _may_be_empty(route.body)


def _takes_key(route: Route) -> bool:
    return any(problem.code == "idempotency_conflict" for problem in route.problems)


def _problems(route: Route) -> dict[str, Any]:
    """The route's own refusals by status, and `default` for those that every route can give."""
    reference = {"$ref": _REFERENCE.format(name="ProblemDocument")}
    by_status: dict[str, dict[str, str]] = {}
    for problem in route.problems:
        by_status.setdefault(str(problem.status), {})[problem.code] = problem.detail
    responses = {
        status: _problem_response(
            "\n\n".join(f"`{code}`: {detail}" for code, detail in codes.items()),
            {"allOf": [reference, {"properties": {"code": {"enum": list(codes)}}}]},
        )
        for status, codes in by_status.items()
    }
    return {**responses, "default": _problem_response("A problem that any route can have", reference)}


def _problem_response(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/problem+json": {"schema": schema}}}


def _may_be_empty(body: type[msgspec.Struct] | None) -> bool:
    """Whether an empty body stands for one without fields, as `View` takes it."""
    try:
        msgspec.convert({}, body)
    except msgspec.ValidationError:
        return False
    return True


def _operations() -> dict[str, Any]:
    """The routes that the guard answers itself."""

    def operation(name: str, summary: str, media_type: str, *statuses: int) -> dict[str, Any]:
        responses = {
            str(status): {
                "description": HTTPStatus(status).phrase,
                "content": {media_type: {}},
            }
            for status in statuses
        }
        return {
            "get": {
                "operationId": name,
                "summary": summary,
                "tags": ["service"],
                "security": [],
                "responses": responses,
            }
        }

    return {
        "/health/live": operation("live", "Whether the process runs", "application/json", 200),
        "/health/ready": operation("ready", "Whether its parts answer", "application/json", 200, 503),
        "/metrics": operation("metrics", "Prometheus text", "text/plain", 200, 401),
    }


def _schemas(routes: Sequence[Route]) -> dict[str, Any]:
    shapes = {
        shape: None
        for route in routes
        for shape in (route.body, route.query, route.answer)
        if shape is not None
    }
    _, schemas = msgspec.json.schema_components([*shapes, ProblemDocument], ref_template=_REFERENCE)
    return dict(schemas)


def _template(path: str) -> str:
    """Werkzeug's `<name>` and `<converter:name>` as OpenAPI writes them."""
    return _PARAMETER.sub(r"{\1}", path)


def _with_portable_patterns(value: Any) -> Any:
    r"""`\Z` is Python's; in the dialect that JSON Schema names (ECMA-262) `$` means the same."""
    if isinstance(value, dict):
        return {
            name: member.replace(r"\Z", "$")
            if name == "pattern" and isinstance(member, str)
            else _with_portable_patterns(member)
            for name, member in value.items()
        }
    if isinstance(value, list):
        return [_with_portable_patterns(member) for member in value]
    return value
