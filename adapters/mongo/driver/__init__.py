"""PyMongo and Motor behind `interface.MongoDriver`: `connect` opens, `errors` translates what they raise."""

from __future__ import annotations
