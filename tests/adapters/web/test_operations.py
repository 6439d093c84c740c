"""Health and metrics: answered in front of everything, uncounted, and no lever on what they ask."""

from __future__ import annotations

from ports.errors import DependencyUnavailable
from ports.runtime import Event, Runtime
from tests.adapters.web.service import Options, open_service
from tests.conformance.runtimes import Driver


class SwitchedProbe:
    """A dependency that is up, down, broken, or hangs until it is let go."""

    def __init__(
        self,
        name: str,
        *,
        role: str = "any",
        error: Exception | None = None,
        until: Event | None = None,
    ) -> None:
        self.name = name
        self.role = role
        self.checks = 0
        self._error = error
        self._until = until

    async def check(self) -> None:
        self.checks += 1
        if self._until is not None:
            await self._until.wait()
        if self._error is not None:
            raise self._error


def test_a_live_process_says_so(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        reply = await open_service(runtime).client.request("GET", "/health/live")
        assert (reply.status, reply.json()) == (200, {"status": "ok"})

    run_real(body)


def test_readiness_names_every_part_that_is_down_once_and_what_it_is_wanted_for(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        probes = [
            SwitchedProbe("mongo", role="read_write", error=DependencyUnavailable("mongo")),
            SwitchedProbe("redis", role="limiter"),
            SwitchedProbe("mongo", role="admin", error=DependencyUnavailable("mongo")),
            SwitchedProbe("redis", role="bus", error=ValueError("a fault of its own")),
        ]
        reply = await open_service(runtime, Options(probes=probes)).client.request("GET", "/health/ready")
        assert reply.status == 503
        assert reply.json() == {
            "status": "unavailable",
            "down": ["mongo", "redis"],
            "parts": [
                {"name": "mongo", "role": "read_write"},
                {"name": "mongo", "role": "admin"},
                {"name": "redis", "role": "bus"},
            ],
        }
        assert reply.header("content-type") == "application/json"

    run_real(body)


def test_readiness_is_good_when_all_answer(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(probes=[SwitchedProbe("mongo")]))
        reply = await service.client.request("GET", "/health/ready")
        assert (reply.status, reply.json()) == (200, {"status": "ok"})

    run_real(body)


def test_many_askers_share_one_round_of_probes(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        gate = runtime.event()
        probe, other = SwitchedProbe("mongo", until=gate), SwitchedProbe("redis")
        service = open_service(runtime, Options(probes=[probe, other]))

        async def ask() -> int:
            return (await service.client.request("GET", "/health/ready")).status

        asking = [runtime.start(ask, name="ask") for _ in range(20)]
        while not probe.checks:
            await runtime.sleep(0)
        gate.set()
        assert [await task.wait() for task in asking] == [200] * 20
        assert (probe.checks, other.checks) == (1, 1)

    run_real(body)


def test_metrics_are_open_unless_they_have_a_token(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        reply = await open_service(runtime).client.request("GET", "/metrics")
        assert reply.status == 200
        assert reply.header("content-type").startswith("text/plain")
        guarded = open_service(runtime, Options(metrics_token="s3cret-token"))
        for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": "Basic s3cret-token"}):
            reply = await guarded.client.request("GET", "/metrics", headers=headers)
            assert (reply.status, reply.code) == (401, "not_authenticated")
            assert reply.header("www-authenticate") == "Bearer"
        good = {"Authorization": "Bearer s3cret-token"}
        assert (await guarded.client.request("GET", "/metrics", headers=good)).status == 200

    run_real(body)


def test_operators_routes_are_read_only_and_never_counted(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(ip="1/60s"))
        for path in ("/health/live", "/health/ready", "/metrics"):
            for _ in range(3):
                assert (await service.client.request("GET", path)).status == 200
            reply = await service.client.request("POST", path)
            assert (reply.status, reply.code, reply.header("allow")) == (
                405,
                "method_not_allowed",
                "GET, HEAD",
            )
            head = await service.client.request("HEAD", path)
            assert (head.status, head.body) == (200, b"")
            assert int(head.header("content-length")) > 0
        assert service.limiter.decisions == 0

    run_real(body)
