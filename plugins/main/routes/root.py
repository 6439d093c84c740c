"""The front door."""

from __future__ import annotations

from credit_system import PUBLIC, Answer, Body, Call, Route

LINKS = {
    "docs": "/docs",
    "openapi": "/openapi.json",
    "asyncapi": "/asyncapi.json",
    "live": "/health/live",
    "ready": "/health/ready",
    "metrics": "/metrics",
    "login": "/auth/login",
    "register": "/auth/register",
    "websocket": "/ws",
}


class About(Body, frozen=True, kw_only=True):
    """What this service is, and where to go from here."""

    name: str
    version: str
    links: dict[str, str]


def root_routes(*, name: str, version: str) -> tuple[Route, ...]:
    about = About(name=name, version=version, links=LINKS)

    async def show(_call: Call[None, None]) -> Answer:
        return Answer(200, about)

    return (
        Route(
            "GET",
            "/",
            "about",
            PUBLIC,
            show,
            answer=About,
            summary="Name, version, links",
            tags=("service",),
            cache="public, max-age=60",
        ),
    )
