"""Tests of the ground the others stand on: real servers, and the rules of the house."""

from __future__ import annotations
