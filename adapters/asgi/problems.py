"""Every failure becomes `application/problem+json` here, and nowhere else (RFC 9457)."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import msgspec
from werkzeug.exceptions import HTTPException

from adapters.asgi.request_state import RequestState
from ports.errors import DependencyUnavailable
from ports.runtime import DeadlineExceeded, Overloaded

Headers = tuple[tuple[str, str], ...]
"""Names and values of header fields, in order."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A refusal in the form of RFC 9457. `code` is stable and snake_case; `detail` is for people."""

    status: int
    code: str
    detail: str
    headers: Headers = ()
    extensions: Mapping[str, Any] = field(default_factory=dict)
    blameless: bool = False
    """For a 400 or 401 that says nothing against its address: a good client's mistake, or time that passed.
    What was tried and was nobody's is not; see `Guard`."""


RETRY_AFTER_S = 1
"""What a caller is told to wait when a dependency is away: reconnecting takes about that long."""

PROBLEM_TYPE = b"application/problem+json"

_RETRY = (("Retry-After", str(RETRY_AFTER_S)),)

NOT_AUTHENTICATED = Problem(
    401,
    "not_authenticated",
    "This needs an access token or an API key.",
    headers=(("WWW-Authenticate", "Bearer"),),
    # Nothing was presented, so nothing was guessed.
    blameless=True,
)
"""401: no credential was presented, and one is needed."""
BAD_DEVICE = Problem(
    400,
    "validation_failed",
    "A device id has 16 to 64 of letters, digits and `_.:-`.",
    extensions={"field": "X-Device-Id"},
    # What can be no device's id is no guess at one.
    blameless=True,
)
"""400: `X-Device-Id` can be no device's."""
FORBIDDEN = Problem(403, "forbidden", "The caller may not do this.")
"""403: the caller is known and may not do this."""
NOT_FOUND = Problem(404, "not_found", "There is nothing here by this name.")
"""404: there is nothing by this name, or nothing that the caller may know of."""
UNAVAILABLE = Problem(
    503, "dependency_unavailable", "The service cannot do this at the moment.", headers=_RETRY
)
OVERLOADED = Problem(503, "overloaded", "The service is busy; nothing was done.", headers=_RETRY)
DEADLINE_EXCEEDED = Problem(503, "deadline_exceeded", "This took too long and was given up.", headers=_RETRY)
INTERNAL_ERROR = Problem(500, "internal_error", "Something went wrong on our side.")
BODY_TOO_LARGE = Problem(413, "body_too_large", "The body is larger than this route takes.")
BODY_TIMEOUT = Problem(408, "request_timeout", "The body did not arrive in time.")

OUTAGE_INTERVAL_S = 60.0
METHOD_LENGTH_MAX = 16
PATH_LENGTH_MAX = 256
PATH_CHARACTERS = "/:@!$&'()*+,;=~"
"""Of a path, besides letters, digits and `_.-` (RFC 3986, 3.3)."""

_log = logging.getLogger("credit.web")
_noted_s: dict[str, float] = {}
"""When an outage of each dependency was last logged here; there are a handful of them."""

_RFC_9110 = {413: "Content Too Large", 422: "Unprocessable Content"}
"""Python has these names from 3.13 on. A service says the same on each."""
_HTTP_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "body_too_large",
    415: "unsupported_media_type",
}


def reason_phrase(status: int) -> str:
    """The words for a status: the `title` of problems, the description of answers in the OpenAPI document."""
    return _RFC_9110.get(status) or HTTPStatus(status).phrase


def problem_of(error: BaseException, state: RequestState) -> Problem:
    """What an exception means to the caller. Only the log learns more."""
    for leaf in _leaves(error):
        known = _known(leaf)
        if known is not None:
            if isinstance(leaf, DependencyUnavailable):
                _note_outage(leaf, state)
            return known
    method, path = about(state)
    _log.error(
        "request %s failed: %s %s",
        state.request_id,
        method,
        path,
        exc_info=error,
        extra={"request_id": state.request_id, "method": method, "path": path, "route": state.route},
    )
    return INTERNAL_ERROR


def about(state: RequestState) -> tuple[str, str]:
    """Method and path as a log can hold them: what a client wrote there ends no line."""
    return (
        quote(state.method[:METHOD_LENGTH_MAX]),
        quote(state.path[:PATH_LENGTH_MAX], safe=PATH_CHARACTERS, errors="replace"),
    )


def _note_outage(error: DependencyUnavailable, state: RequestState) -> None:
    """Once a minute a dependency: in an outage every request says the same."""
    now_s = time.monotonic()
    noted_s = _noted_s.get(error.dependency)
    if noted_s is None or now_s - noted_s >= OUTAGE_INTERVAL_S:
        _noted_s[error.dependency] = now_s
        _log.warning("request %s: %s %s: %s", state.request_id, *about(state), error)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions themselves, out of the groups that nurseries raise."""
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from _leaves(member)
    else:
        yield error


def _known(error: BaseException) -> Problem | None:
    if isinstance(error, DependencyUnavailable):
        return UNAVAILABLE
    if isinstance(error, Overloaded):
        return OVERLOADED
    if isinstance(error, DeadlineExceeded):
        return DEADLINE_EXCEEDED
    if isinstance(error, HTTPException) and error.code is not None and error.code < 500:
        return _problem_of_http(error, error.code)
    return None


def _problem_of_http(error: HTTPException, status: int) -> Problem:
    """werkzeug's own: its texts may quote the request, so only its status and `Allow` are taken."""
    if status == 404:
        return NOT_FOUND
    headers = tuple(
        (name, value) for name, value in error.get_headers() if name.lower() in ("allow", "location")
    )
    return Problem(status, _HTTP_CODES.get(status, "http_error"), reason_phrase(status) + ".", headers)


def encode_problem(problem: Problem, state: RequestState) -> bytes:
    """The body; the state remembers the code for the metrics, and whether it is to be blamed."""
    state.problem_code = problem.code
    state.blameless = problem.blameless
    return msgspec.json.encode(
        {
            "type": "about:blank",
            "title": reason_phrase(problem.status),
            "status": problem.status,
            "code": problem.code,
            "detail": problem.detail,
            "request_id": state.request_id,
            **problem.extensions,
        }
    )
