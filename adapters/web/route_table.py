"""Which paths have limits of their own, found before Quart sees the request."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.web.route import Route

_NO_POLICIES: tuple[str, ...] = ()


class RouteTable:
    """Exact (method, path) matches only: what has a parameter in it is Quart's to match."""

    __slots__ = ("_policies",)

    def __init__(self, routes: Sequence[Route]) -> None:
        """Raises ValueError when a path with parameters names a policy: it would never be counted."""
        for route in routes:
            if route.policies and "<" in route.path:
                raise ValueError(f"{route.method} {route.path} has parameters, so it cannot name policies")
        self._policies = {
            (route.method, route.path): route.policies for route in routes if "<" not in route.path
        }

    @property
    def policy_names(self) -> frozenset[str]:
        """Every policy that some route asks for."""
        return frozenset(name for names in self._policies.values() for name in names)

    def policies(self, method: str, path: str) -> tuple[str, ...]:
        return self._policies.get((method, path), _NO_POLICIES)

    def template(self, method: str, path: str) -> str | None:
        """The path itself, when it is a route's exactly."""
        return path if (method, path) in self._policies else None
