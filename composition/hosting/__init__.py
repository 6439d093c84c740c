"""Servers, processes, their supervisor and their logs."""

from __future__ import annotations
