"""FastAPI, slowapi, PyJWT and redis-py: verify the token, count user and address, read a balance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import jwt
import redis.asyncio

# Only the peers' own environment has them.
from fastapi import Depends, FastAPI, Header, HTTPException, Request  # type: ignore[import-not-found]
from fastapi.responses import JSONResponse  # type: ignore[import-not-found]
from slowapi import Limiter, _rate_limit_exceeded_handler  # type: ignore[import-not-found]
from slowapi.errors import RateLimitExceeded  # type: ignore[import-not-found]
from slowapi.util import get_remote_address  # type: ignore[import-not-found]

from benchmarks.peers.account_store import AUDIENCE, LIMITS, STRATEGY, balance, collect_rarely, told

CONNECTIONS = 16
TOLD = told()

limiter = Limiter(
    get_remote_address,
    storage_uri=TOLD["redis_url"],
    storage_options={"password": TOLD["redis_password"]},
    strategy=STRATEGY,
)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Connects before anything is measured: one connection's TLS costs as much as twenty answers."""
    await asyncio.gather(*(store.ping() for _ in range(CONNECTIONS)))
    yield
    await store.aclose()


app = FastAPI(lifespan=lifespan)
app.state.limiter = limiter
app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)
pool: Any = redis.asyncio.BlockingConnectionPool.from_url(
    TOLD["redis_url"], password=TOLD["redis_password"], decode_responses=True, max_connections=CONNECTIONS
)
store: Any = redis.asyncio.Redis(connection_pool=pool)


async def verified(request: Request, authorization: Annotated[str, Header()]) -> str:
    """Whose token this is; a dependency runs before the limiter, which counts a verified user."""
    scheme, _, token = authorization.partition(" ")
    try:
        claims = jwt.decode(token, TOLD["secret"], algorithms=["HS256"], audience=AUDIENCE)
    except jwt.InvalidTokenError as error:
        raise HTTPException(401) from error
    if scheme != "Bearer":
        raise HTTPException(401)
    user_id: str = claims["sub"]
    request.state.user_id = user_id
    return user_id


def user_of(request: Request) -> str:
    return f"user:{request.state.user_id}"


@app.get("/credits/accounts/{account_id}")  # type: ignore[untyped-decorator] # FastAPI is not there for mypy
@limiter.limit(LIMITS, key_func=user_of)  # type: ignore[untyped-decorator] # as above
@limiter.limit(LIMITS)  # type: ignore[untyped-decorator] # as above
async def account(request: Request, account_id: str, user_id: Annotated[str, Depends(verified)]) -> Any:
    """Only its owner's. A ready answer: FastAPI does not validate it once more."""
    del request
    fields = await store.hgetall(f"account:{account_id}")
    if not fields or fields["user_id"] != user_id:
        raise HTTPException(404)
    return JSONResponse(balance(fields))


collect_rarely()
