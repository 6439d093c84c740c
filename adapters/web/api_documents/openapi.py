"""The OpenAPI document, made by quart-schema, with a provider of our own that builds each operation.

It is made of an application that never serves: the one that does stays free of what quart-schema lays around
every response. Left to itself, quart-schema would write a msgspec shape out in each operation, and leave out
nested types, refusals, and who may call. Whatever is said more than once stands under `components` and is
referred to: shapes (`adapters.web.api_documents.shapes`), parameters, headers, and the problems that many
routes have.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType
from werkzeug.routing import Rule

from adapters.asgi.credential_verifier import PROBLEMS as CREDENTIAL_PROBLEMS
from adapters.asgi.problems import Problem, reason_phrase
from adapters.web.api_documents.shapes import Schema, Shapes, is_own, pascal_case
from adapters.web.route import Route
from domain.identity.access import PermissionKind

_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")

SECURITY_SCHEMES: Final[Schema] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token, shown by the device of its login: with `X-Device-Id`, or the "
        "cookie `__Host-device` of the login; else 401 `device_mismatch`.",
    },
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "A service key, `ck_…`. Beside an access token both must be good, and the key acts.",
    },
}
DEVICE: Final[Schema] = {
    "name": "X-Device-Id",
    "in": "header",
    "description": "The `device_id` of the login, for a client that keeps no cookie: a token is good "
    "only on the device that it was given to, and 401 `device_mismatch` elsewhere. A login without one "
    "makes one.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.:-]{16,64}$"},
}
KEY: Final[Schema] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Of the caller's choice: the same request under the same key is carried out once, and "
    "answered again with `Idempotent-Replayed: true`.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}
HEADERS: Final[Schema] = {
    "X-Request-ID": {
        "description": "The caller's own, if it is sane; it stands in the log, too.",
        "schema": {"type": "string"},
    },
    "RateLimit": {
        "description": "What is left of the policy that is nearest to its end.",
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {"description": "Every policy that counted.", "schema": {"type": "string"}},
    "Retry-After": {
        "description": "Seconds until another try makes sense: with 429 and 503, and with a ban.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "WWW-Authenticate": {"description": "With 401.", "schema": {"type": "string"}},
    "Allow": {"description": "With 405: the methods that this path has.", "schema": {"type": "string"}},
    "Idempotent-Replayed": {
        "description": "`true` where this request was carried out before, and this is its first answer.",
        "schema": {"type": "string"},
    },
}
ANSWERED: Final = ("X-Request-ID", "RateLimit", "RateLimit-Policy")
OF_STATUS: Final = {
    401: "WWW-Authenticate",
    403: "Retry-After",
    405: "Allow",
    429: "Retry-After",
    503: "Retry-After",
}
"""What a refusal carries beside its request's id."""

DESCRIPTION: Final = """\
Amounts are integers in minor units, times RFC 3339 in UTC. An unknown member of a body is refused. Answers \
may grow: there may be more members in time, and more values of a choice (`x-extensible-enum`). Pass over \
what you do not know.
"""


class WrongInput(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with one input."""

    field: str
    detail: str


class RefusedItem(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one item of a batch that was refused as a whole."""

    id: str | None
    status: str
    code: str | UnsetType = UNSET
    account: str | UnsetType = UNSET


_MEMBERS = {"type_": "type", "violated_policies": "violated-policies"}


class ProblemDocument(msgspec.Struct, frozen=True, kw_only=True, rename=_MEMBERS):
    """A refusal or a failure (RFC 9457), with whatever belongs to its `code`."""

    type_: str
    title: str
    status: int
    code: Annotated[str, Meta(description="Stable, for programs. There may be more in time.")]
    detail: Annotated[str, Meta(description="For people; its words may change.")]
    request_id: str
    field: (
        Annotated[str, Meta(description="The input that it is about, where it is about one")] | UnsetType
    ) = UNSET
    errors: Annotated[list[WrongInput], Meta(description="All that is wrong with the inputs")] | UnsetType = (
        UNSET
    )
    account: Annotated[str, Meta(description="The account that does not exist")] | UnsetType = UNSET
    results: (
        Annotated[list[RefusedItem], Meta(description="Of a batch that was refused, in its order")]
        | UnsetType
    ) = UNSET
    retry_after: Annotated[int, Meta(description="Seconds, as in `Retry-After`")] | UnsetType = UNSET
    violated_policies: Annotated[list[str], Meta(description="The limits that were exceeded")] | UnsetType = (
        UNSET
    )


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the service can do its work."""

    status: str
    down: Annotated[list[str], Meta(description="The parts that do not answer")] | UnsetType = UNSET


def openapi_document(routes: Sequence[Route], *, title: str, version: str) -> dict[str, Any]:
    """OpenAPI 3.1. Takes tens of milliseconds, and imports quart-schema. Raises ValueError when two shapes
    want one name."""
    routes = [route for route in routes if route.in_document]
    shapes = shapes_of(routes)
    document = _provided(routes, shapes, title=title, version=version)
    paths: Schema = dict(document["paths"]) | _operations(shapes)
    parameters = _shared_parameters(paths)
    spread = {shapes.taken(kind)["$ref"].rpartition("/")[2] for kind in _subnet_bans(routes)}
    return {
        **document,
        "paths": paths,
        "components": {
            "schemas": {name: each for name, each in shapes.components.items() if name not in spread},
            "responses": {
                "Problem": _problem_response(
                    "A problem that any route can have", dict.fromkeys(OF_STATUS.values()), shapes, {}
                ),
                **_shared_responses(paths),
            },
            "parameters": parameters,
            "headers": {pascal_case(name): header for name, header in HEADERS.items()},
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def _provided(routes: Sequence[Route], shapes: Shapes, *, title: str, version: str) -> Schema:
    """What quart-schema makes of the routes: the head of the document, and their operations."""
    from quart import Quart  # noqa: PLC0415 - start-up must not pay for what few ask for
    from quart_schema import Info, OpenAPIProvider, QuartSchema  # noqa: PLC0415 - as above

    by_name = {route.name: route for route in routes}

    class RouteProvider(OpenAPIProvider):
        def build_paths(self, rule: Rule) -> tuple[Schema, Schema]:
            route = by_name[rule.endpoint]
            return {_template(route.path): {route.method.lower(): _operation(route, shapes)}}, {}

    async def unserved() -> str:
        return ""

    app = Quart("documents", static_folder=None)
    for route in routes:
        app.add_url_rule(route.path, endpoint=route.name, view_func=unserved, methods=[route.method])
    extension = QuartSchema(
        openapi_path=None,
        info=Info(title, version, description=DESCRIPTION),
        openapi_provider_class=RouteProvider,
    )
    extension.init_app(app)
    provided: Schema = extension.openapi_provider.schema()
    return provided


def shapes_of(routes: Sequence[Route]) -> Shapes:
    """Everything that these routes take and give. Raises ValueError when two shapes want one name."""
    bodies = [route.body for route in routes if route.body is not None]
    given = [shape for route in routes for shapes in _answers(route).values() for shape in shapes]
    return Shapes(taken=[*bodies, *_subnet_bans(routes)], given=[*given, ProblemDocument, Health])


def check_shapes(routes: Sequence[Route]) -> None:
    """Raises ValueError when a shape of another distribution wants a name that is taken, TypeError for one
    without a schema. The service's own do neither, and looking would cost each start 25 ms."""
    kinds = [*_subnet_bans(routes), *(route.body for route in routes if route.body is not None)]
    kinds += [shape for route in routes for shapes in _answers(route).values() for shape in shapes]
    if not all(map(is_own, kinds)):
        shapes_of(routes)


def _subnet_bans(routes: Sequence[Route]) -> list[type[msgspec.Struct]]:
    """Shapes that are no component: each of their fields is a parameter."""
    return [shape for route in routes for shape in (route.query, route.parameters) if shape is not None]


def _answers(route: Route) -> dict[int, tuple[type[msgspec.Struct], ...]]:
    """The shapes of each success; none for one without a body, or whose body is no JSON of ours."""
    statuses = dict.fromkeys((route.success, *route.other_successes), route.answer)
    return {
        status: () if shape is None else shape if isinstance(shape, tuple) else (shape,)
        for status, shape in (statuses | dict(route.other_answers)).items()
    }


def _operation(route: Route, shapes: Shapes) -> Schema:
    operation: Schema = {"operationId": route.name, "tags": list(route.tags), "summary": route.summary}
    if route.description:
        operation["description"] = route.description
    if route.permission.kind is PermissionKind.PUBLIC:
        operation["security"] = []
    elif route.permission.kind is PermissionKind.USER:
        operation["security"] = [{"bearer": []}]
    else:
        operation["security"] = [{"bearer": []}, {"apiKey": []}]
    operation["parameters"] = list(_parameters(route, shapes))
    if route.body is not None:
        operation["requestBody"] = {
            "required": not _may_be_empty(route.body),
            "content": {"application/json": {"schema": shapes.taken(route.body)}},
        }
    operation["responses"] = _successes(route, shapes) | _problems(route, shapes)
    return operation


# --- what is sent


def _parameters(route: Route, shapes: Shapes) -> Iterator[Schema]:
    said = (
        {} if route.parameters is None else {name: each for name, each, _ in shapes.fields(route.parameters)}
    )
    for name in _PARAMETER.findall(route.path):
        schema = said.get(name, {"type": "string", "minLength": 1})
        yield _parameter(name, "path", schema, required=True)
    if route.query is not None:
        for name, schema, required in shapes.fields(route.query):
            yield _parameter(name, "query", schema, required=required)
    if route.knows_device:
        yield DEVICE
    if _takes_key(route):
        yield KEY


def _parameter(name: str, place: str, schema: Schema, *, required: bool) -> Schema:
    told = {"description": schema["description"]} if "description" in schema else {}
    inner = {member: value for member, value in schema.items() if member != "description"}
    return {"name": name, "in": place, "required": required, **told, "schema": inner}


def _takes_key(route: Route) -> bool:
    return any(problem.code == "idempotency_conflict" for problem in route.problems)


def _may_be_empty(body: type[msgspec.Struct] | None) -> bool:
    """Whether an empty body stands for one without fields, as `View` takes it."""
    try:
        msgspec.convert({}, body)
    except msgspec.ValidationError:
        return False
    return True


# --- what is answered


def _successes(route: Route, shapes: Shapes) -> Schema:
    replayed = ("Idempotent-Replayed",) * _takes_key(route)
    responses: Schema = {}
    for status, given in _answers(route).items():
        response = {"description": reason_phrase(status), "headers": _headers(*ANSWERED, *replayed)}
        if status != HTTPStatus.NO_CONTENT:
            schema = shapes.given(*given) if given else None
            response["content"] = {
                media_type: _content(media_type, schema) for media_type in route.media_types
            }
        responses[str(status)] = response
    return responses


def _content(media_type: str, schema: Schema | None) -> Schema:
    if schema is not None:
        return {"schema": schema}
    if media_type == "application/json":
        return {"schema": {"type": "object", "additionalProperties": True}}
    return {"schema": {"type": "string"}} if media_type.startswith("text/") else {}


def _problems(route: Route, shapes: Shapes) -> Schema:
    """The route's own refusals by status, and `default` for those that every route can give."""
    by_status: dict[int, dict[str, Problem]] = {}
    shown = () if route.permission.kind is PermissionKind.PUBLIC else CREDENTIAL_PROBLEMS
    for problem in (*shown, *route.problems):
        by_status.setdefault(problem.status, {})[problem.code] = problem
    responses = {
        str(status): _problem_response(
            "\n\n".join(f"`{code}`: {problem.detail}" for code, problem in problems.items()),
            (OF_STATUS[status],) if status in OF_STATUS else (),
            shapes,
            problems,
        )
        for status, problems in by_status.items()
    }
    return {**responses, "default": {"$ref": "#/components/responses/Problem"}}


def _problem_response(
    description: str, headers: Iterable[str], shapes: Shapes, problems: Mapping[str, Problem]
) -> Schema:
    content: Schema = {"schema": shapes.given(ProblemDocument)}
    if problems:
        content["examples"] = {
            code: {
                "value": {
                    "type": "about:blank",
                    "title": reason_phrase(problem.status),
                    "status": problem.status,
                    "code": code,
                    "detail": problem.detail,
                    "request_id": "2f6c1c1e9d0b4a57",
                }
            }
            for code, problem in problems.items()
        }
    return {
        "description": description,
        "headers": _headers("X-Request-ID", *headers),
        "content": {"application/problem+json": content},
    }


def _headers(*names: str) -> Schema:
    return {name: {"$ref": f"#/components/headers/{pascal_case(name)}"} for name in names}


# --- what is said more than once


def _shared_parameters(paths: Schema) -> Schema:
    """Puts references in place of parameters that several operations have, and gives these. Of two that
    differ under one name, the one that more operations have is the component."""
    lists = [operation["parameters"] for path in paths.values() for operation in path.values()]
    counts = Counter(_frozen(parameter) for parameters in lists for parameter in parameters)
    shared: Schema = {}
    for text, count in counts.most_common():
        parameter = json.loads(text)
        if count > 1:
            shared.setdefault(pascal_case(parameter["name"]), parameter)
    for parameters in lists:
        for index, parameter in enumerate(parameters):
            name = pascal_case(parameter["name"])
            if shared.get(name) == parameter:
                parameters[index] = {"$ref": f"#/components/parameters/{name}"}
    return dict(sorted(shared.items()))


def _shared_responses(paths: Schema) -> Schema:
    """The same of problems. One of a single code is named for it, others for their status."""
    every = [operation["responses"] for path in paths.values() for operation in path.values()]
    counts = Counter(_frozen(each) for responses in every for each in responses.values() if _name(each))
    shared: Schema = {}
    for text, count in counts.most_common():
        response = json.loads(text)
        if count > 1:
            shared.setdefault(_name(response), response)
    for responses in every:
        for status, response in responses.items():
            name = _name(response)
            if name and shared.get(name) == response:
                responses[status] = {"$ref": f"#/components/responses/{name}"}
    return dict(sorted(shared.items()))


def _name(response: Schema) -> str:
    """Empty for what is no problem of the route's own."""
    examples = response.get("content", {}).get("application/problem+json", {}).get("examples", {})
    if not examples:
        return ""
    code, example = next(iter(examples.items()))
    return pascal_case(code if len(examples) == 1 else example["value"]["title"])


def _frozen(value: Schema) -> str:
    return json.dumps(value)


# --- the routes that the guard answers itself


def _operations(shapes: Shapes) -> Schema:
    health = {"application/json": {"schema": shapes.given(Health)}}
    text = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "/health/live": _uncounted("live", "Whether the process runs", {200: health}),
        "/health/ready": _uncounted("ready", "Whether its parts answer", {200: health, 503: health}),
        "/metrics": _uncounted("metrics", "Prometheus text", {200: text}),
    }


def _uncounted(name: str, summary: str, contents: Mapping[int, Schema]) -> Schema:
    responses = {
        str(status): {
            "description": reason_phrase(status),
            "headers": _headers("X-Request-ID"),
            "content": content,
        }
        for status, content in contents.items()
    }
    return {
        "get": {
            "operationId": name,
            "tags": ["service"],
            "summary": summary,
            "security": [],
            "parameters": [],
            "responses": {**responses, "default": {"$ref": "#/components/responses/Problem"}},
        }
    }


def _template(path: str) -> str:
    """Werkzeug's `<name>` and `<converter:name>` as OpenAPI writes them."""
    return _PARAMETER.sub(r"{\1}", path)
