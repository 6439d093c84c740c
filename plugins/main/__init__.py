"""The connection with clients: who they are, their sessions, their keys, and the service's front door."""

from __future__ import annotations
