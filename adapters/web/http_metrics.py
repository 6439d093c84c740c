"""What operators see of HTTP. Labels come from closed sets: templates, known methods, statuses, codes."""

from __future__ import annotations

from adapters.asgi.request_state import RequestState
from ports.metrics import Metric, MetricKind, Metrics

REQUESTS = Metric(
    "credit_http_requests_total",
    MetricKind.COUNTER,
    "HTTP requests answered",
    ("method", "route", "status"),
)
DURATION = Metric(
    "credit_http_request_duration_seconds",
    MetricKind.HISTOGRAM,
    "From the request's head to the end of its answer",
    ("method", "route"),
    # 0.5 is the edge that the latency alert is drawn at.
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
ERRORS = Metric("credit_errors_total", MetricKind.COUNTER, "Problems answered", ("code",))

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNMATCHED = "unmatched"


class HttpMetrics:
    """Counts answers."""

    __slots__ = ("_duration", "_errors", "_requests")

    def __init__(self, metrics: Metrics) -> None:
        self._requests = metrics.register(REQUESTS)
        self._duration = metrics.register(DURATION)
        self._errors = metrics.register(ERRORS)

    def count(self, status: int, state: RequestState, seconds: float) -> None:
        method = state.method if state.method in _METHODS else "other"
        route = state.route or UNMATCHED
        self._requests.add(1, method, route, str(status))
        self._duration.observe(seconds, method, route)
        if state.problem_code is not None:
            self._errors.add(1, state.problem_code)
