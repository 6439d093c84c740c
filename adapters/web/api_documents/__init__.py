"""The documents that describe the API: OpenAPI, AsyncAPI, and a page to try the routes with."""

from __future__ import annotations
