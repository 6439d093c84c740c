"""The keys by which others may check our access tokens."""

from __future__ import annotations

from credit_system import PUBLIC, Answer, Body, Call, Route, TokenService

# A new key stands here for a minute before it signs: no cache may keep an older answer for longer.
_CACHE = "public, max-age=60"


class JsonWebKeys(Body, frozen=True, kw_only=True):
    """A set after RFC 7517, 5: empty while tokens are signed with HS256, whose key is secret."""

    keys: list[dict[str, str]]


def key_routes(tokens: TokenService) -> tuple[Route, ...]:
    async def show(_call: Call[None, None]) -> Answer:
        return Answer(200, JsonWebKeys(keys=[dict(key) for key in tokens.public_keys]))

    return (
        Route("GET", "/.well-known/jwks.json", "json_web_keys", PUBLIC, show, answer=JsonWebKeys,
              cache=_CACHE, tags=("service",), summary="Public keys of access tokens"),
    )  # fmt: skip
