"""The five managers: the application, its services, plugins, modules and hooks."""

from __future__ import annotations
