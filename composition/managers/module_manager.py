"""Modules: objects that plugins offer to each other under a key."""

from __future__ import annotations

from typing import TypeVar

Kind = TypeVar("Kind")


class ModuleManager:
    """A register of feature modules, such as the main plugin's connection module."""

    def __init__(self) -> None:
        self._modules: dict[str, object] = {}

    def register(self, key: str, module: object) -> None:
        """Offers a module. Raises `ValueError` when the key is taken."""
        if key in self._modules:
            raise ValueError(f"a module {key!r} is registered already")
        self._modules[key] = module

    def module(self, key: str, kind: type[Kind]) -> Kind:
        """The module of a key. Raises `LookupError` when there is none, `TypeError` for another type."""
        if key not in self._modules:
            raise LookupError(f"no module {key!r}; there are {', '.join(sorted(self._modules)) or 'none'}")
        module = self._modules[key]
        if not isinstance(module, kind):
            raise TypeError(f"the module {key!r} is a {type(module).__name__}, not a {kind.__name__}")
        return module

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys in the order of registration."""
        return tuple(self._modules)
