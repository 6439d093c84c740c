"""ConnectionAPI: everything about who is connected, and their data, gathered for routes and other plugins."""

from __future__ import annotations

from dataclasses import dataclass

from application.documents.service import DocumentService, Page
from application.identity.api_keys import ApiKeyService
from application.identity.sessions import SessionService
from application.identity.tokens import TokenService
from application.identity.users import UserService
from application.limits.rate_limiter import RateLimiter
from domain.documents.queries import Query

CONNECTION_API = "connection_api"
"""The key under which the main plugin offers its `ConnectionAPI`."""


@dataclass(frozen=True, slots=True)
class ConnectionAPI:
    """The use cases of identity and of documents. They hold the rules; this only keeps them together."""

    users: UserService
    sessions: SessionService
    tokens: TokenService
    api_keys: ApiKeyService
    rate_limiter: RateLimiter
    documents: DocumentService

    async def query(self, query: Query) -> Page:
        """Asks a collection of the caller's own under the read-only role; cached, and never stale."""
        return await self.documents.query(query)
