"""Documents that plugins keep, and the questions that can be asked about them."""

from __future__ import annotations
