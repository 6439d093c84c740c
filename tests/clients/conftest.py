"""A service for each kind of client, whose limits are out of the way, and its documents as files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.product import Product, memory_stage, running

POLICIES = ("IP", "USER", "API_KEY", "LOGIN", "REGISTER", "REFRESH", "PASSWORD", "ERRORS")


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    limits = {f"CREDIT_RATE_LIMIT_{name}": "10000000/60s" for name in POLICIES}
    stage = memory_stage("asyncio").with_settings(**limits)
    with running(stage, tmp_path_factory.mktemp("service")) as product:
        yield product


@pytest.fixture(scope="module")
def openapi(product: Product, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _saved(product, tmp_path_factory, "openapi.json")


@pytest.fixture(scope="module")
def asyncapi(product: Product, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _saved(product, tmp_path_factory, "asyncapi.json")


def _saved(product: Product, tmp_path_factory: pytest.TempPathFactory, name: str) -> Path:
    reply = product.anyone("GET", f"/{name}")
    assert reply.status_code == 200
    path = tmp_path_factory.mktemp("documents") / name
    path.write_text(reply.text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def document(openapi: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(openapi.read_text(encoding="utf-8"))
    return read
