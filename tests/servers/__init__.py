"""Real servers for tests: MongoDB and Redis with TLS, users and throw-away data."""

from __future__ import annotations
