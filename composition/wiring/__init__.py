"""Use cases on stores, and the outermost layers on the use cases."""

from __future__ import annotations
