"""ConnectionAPI: everything about who is connected, gathered for routes and for other plugins."""

from __future__ import annotations

from dataclasses import dataclass

from application.api_keys import ApiKeyService
from application.rate_limiter import RateLimiter
from application.sessions import SessionService
from application.users import UserService

MODULE_KEY = "connection_api"


@dataclass(frozen=True, slots=True)
class ConnectionAPI:
    """The use cases of identity. They hold the rules; this only keeps them together."""

    users: UserService
    sessions: SessionService
    api_keys: ApiKeyService
    rate_limiter: RateLimiter
