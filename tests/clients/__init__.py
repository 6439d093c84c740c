"""Clients that others generate, made from the running service's own document, and used against it."""
