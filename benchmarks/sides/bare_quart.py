"""The framework alone: one route that answers what a balance looks like, and nothing around it."""

from __future__ import annotations

import sys

import uvloop
from hypercorn.asyncio import serve
from hypercorn.config import Config
from quart import Quart, Response

from composition.hosting.process import collect_rarely

BALANCE = (
    b'{"id":"alice","asset":"GEMS","user_id":"usr_01m88zrk3wgztvgp6jzhdk51sj","posted":0,"held":0,'
    b'"available":0,"overdraft_limit":0,"grants":[],"seq":1,"metadata":{}}'
)

app = Quart(__name__, static_folder=None)


@app.get("/credits/accounts/<account_id>")
async def account(account_id: str) -> Response:
    """The same bytes for every id."""
    del account_id
    return Response(BALANCE, content_type="application/json")


if __name__ == "__main__":
    collect_rarely()
    config = Config()
    config.bind = [sys.argv[1]]
    config.accesslog = None
    config.keep_alive_max_requests = 1_000_000
    config.include_server_header = False
    uvloop.run(serve(app, config))
