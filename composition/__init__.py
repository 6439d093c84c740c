"""The only place that knows everything: settings, secrets, managers, command line, ASGI entry."""

from __future__ import annotations
