"""Where plugins' documents and cached answers are kept."""

from __future__ import annotations
