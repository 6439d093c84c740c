"""The peers' side of each row, run in the peers' own environment: nothing here imports the product."""

from __future__ import annotations
