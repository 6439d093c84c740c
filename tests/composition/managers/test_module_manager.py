from __future__ import annotations

import pytest

from composition.managers.module_manager import ModuleManager


def test_a_module_is_found_by_key_and_kind() -> None:
    modules = ModuleManager()
    modules.register("connection", "a module")
    assert modules.module("connection", str) == "a module"
    assert modules.keys == ("connection",)


def test_a_key_is_taken_once() -> None:
    modules = ModuleManager()
    modules.register("connection", 1)
    with pytest.raises(ValueError, match="connection"):
        modules.register("connection", 2)


def test_an_unknown_key_and_a_wrong_kind_say_so() -> None:
    modules = ModuleManager()
    modules.register("connection", 1)
    with pytest.raises(LookupError, match="connection"):
        modules.module("credits", int)
    with pytest.raises(TypeError, match="int"):
        modules.module("connection", str)
