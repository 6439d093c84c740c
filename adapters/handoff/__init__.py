"""Commands handed from worker to worker of one host, over Unix sockets."""

from __future__ import annotations
