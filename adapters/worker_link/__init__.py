"""The link between the workers of one host: commands go over Unix sockets to the worker that holds a book."""

from __future__ import annotations
