"""Whole HTTP answers of the service, by the processor's time that they cost its process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from benchmarks.contenders import Comparison, Contender, side_by_side
from benchmarks.installation import PeerMissing
from benchmarks.rows import Bench, Goal, Meaning, Row, row

GROUP: Final = "http"
CLIENTS: Final = 64
BANNED_GOAL: Final = 1.8
BARE_GOAL: Final = round(1 / 1.35, 2)
"""Our layers may cost 1.35 times the bare framework's processor time."""

SIDE: Final = "benchmarks.sides.http"
FLASK: Final = (
    *("-m", "gunicorn", "benchmarks.peers.flask_limiter_app:app", "--bind", "127.0.0.1:{port}"),
    # Its only worker that keeps connections alive without another event loop.
    *("--workers", "1", "--worker-class", "gthread", "--threads", "8", "--keep-alive", "30"),
    "--no-control-socket",
)
FASTAPI: Final = (
    *("-m", "uvicorn", "benchmarks.peers.fastapi_slowapi_app:app", "--host", "127.0.0.1", "--port", "{port}"),
    *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
)


def rows(bench: Bench) -> Sequence[Row]:
    return [*_beside_bare_quart(bench), *_beside_frameworks(bench)]


def _beside_bare_quart(bench: Bench) -> Sequence[Row]:
    bare = Contender(
        "bare Quart",
        (bench.python, "-m", SIDE),
        {"side": "bare", "clients": CLIENTS, "packages": ["quart", "hypercorn"]},
    )
    allowed = ours(bench, "allowed")
    return [
        *(
            _per_cpu(
                _compared(bench, ours(bench, "banned", server), ours(bench, "allowed", server)),
                f"a banned client's requests beside an allowed one's, {server}",
                goal=BANNED_GOAL,
            )
            for server in ("hypercorn", "granian")
        ),
        _per_cpu(
            _compared(bench, allowed, bare),
            "a balance read with a token beside a route of bare Quart, hypercorn",
            goal=BARE_GOAL,
        ),
        _per_cpu(
            _compared(bench, ours(bench, "plain"), bare),
            "`GET /`, limited in Redis, beside a route of bare Quart, hypercorn",
        ),
    ]


def _beside_frameworks(bench: Bench) -> Sequence[Row]:
    try:
        flask = _peer(bench, "Flask", FLASK, ("flask", "flask-limiter", "pyjwt", "redis", "gunicorn"))
        fastapi = _peer(bench, "FastAPI", FASTAPI, ("fastapi", "slowapi", "pyjwt", "redis", "uvicorn"))
    except PeerMissing as missing:
        bench.note(f"Flask and FastAPI were left out: {missing}")
        return []
    work = "a balance read with a token"
    default = _compared(bench, ours(bench, "allowed"), flask, fastapi)
    faster = _compared(bench, ours(bench, "allowed", "granian"), fastapi)
    return [
        _per_cpu(default, f"{work}, hypercorn", goal=2),
        _per_cpu(default, f"{work}, hypercorn", goal=1, against=2),
        _per_cpu(faster, f"{work}, granian", goal=2),
        *(
            row(
                default,
                work=f"{work}, hypercorn, by the clock",
                figure="per_second",
                unit="answers/s",
                group=GROUP,
                against=peer,
            )
            for peer in (1, 2)
        ),
    ]


def ours(bench: Bench, request: str, server: str = "hypercorn") -> Contender:
    configuration: dict[str, Any] = {
        "side": "ours",
        "request": request,
        "server": server,
        "clients": CLIENTS,
        "packages": ["quart", server],
        "mongo_url": bench.mongod.url,
        "redis_url": bench.redis.url,
        "secrets": str(bench.secrets),
    }
    return Contender(f"credit-system, {request}, {server}", (bench.python, "-m", SIDE), configuration)


def _peer(bench: Bench, name: str, command: Sequence[str], packages: Sequence[str]) -> Contender:
    configuration: dict[str, Any] = {
        "side": "peer",
        "python": str(bench.python_with_peers()),
        "command": command,
        "clients": CLIENTS,
        "packages": packages,
        "redis_url": bench.redis.url,
        "redis_password": bench.redis.password,
    }
    return Contender(name, (bench.python, "-m", SIDE), configuration)


def _compared(bench: Bench, *contenders: Contender) -> Comparison:
    return side_by_side(contenders, rounds=bench.rounds, seconds=bench.seconds)


def _per_cpu(comparison: Comparison, work: str, *, goal: float | None = None, against: int = 1) -> Row:
    return row(
        comparison,
        work=work,
        figure="per_cpu_second",
        unit="answers/CPU s",
        group=GROUP,
        goal=None if goal is None else Goal(Meaning.RATIO_AT_LEAST, goal),
        against=against,
    )
