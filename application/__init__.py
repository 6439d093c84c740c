"""Use cases: load, decide purely, commit once, publish. They await ports and know no event loop."""

from __future__ import annotations
