"""Flask, Flask-Limiter, PyJWT and redis-py: verify the token, count user and address, read a balance."""

from __future__ import annotations

from typing import Any

import jwt
import redis
from flask import Flask, Response, abort, g, jsonify, request

# Only the peers' own environment has it.
from flask_limiter import Limiter  # type: ignore[import-not-found]
from flask_limiter.util import get_remote_address  # type: ignore[import-not-found]

from benchmarks.peers.account_store import AUDIENCE, LIMITS, STRATEGY, balance, collect_rarely, told

TOLD = told()

app = Flask(__name__, static_folder=None)
store: Any = redis.Redis.from_url(TOLD["redis_url"], password=TOLD["redis_password"], decode_responses=True)


@app.before_request
def verify() -> None:
    """Before the limiter, which counts a verified user."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    try:
        claims = jwt.decode(token, TOLD["secret"], algorithms=["HS256"], audience=AUDIENCE)
    except jwt.InvalidTokenError:
        abort(401)
    g.user_id = claims["sub"] if scheme == "Bearer" else abort(401)


limiter = Limiter(
    get_remote_address,
    app=app,
    storage_uri=TOLD["redis_url"],
    storage_options={"password": TOLD["redis_password"]},
    strategy=STRATEGY,
)


@app.get("/credits/accounts/<account_id>")
@limiter.limit(LIMITS, key_func=lambda: f"user:{g.user_id}")  # type: ignore[untyped-decorator] # not there for mypy
@limiter.limit(LIMITS)  # type: ignore[untyped-decorator] # as above
def account(account_id: str) -> Response:
    """Only its owner's."""
    fields = store.hgetall(f"account:{account_id}")
    if not fields or fields["user_id"] != g.user_id:
        abort(404)
    return jsonify(balance(fields))


collect_rarely()
