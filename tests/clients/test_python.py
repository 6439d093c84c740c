"""openapi-python-client reads the whole document, and what it makes works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.clients.installed import run
from tests.ground.sources import PROJECT
from tests.system.product import Product

PACKAGE = "credit_system_client"


@pytest.fixture(scope="module")
def generated(product: Product, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, made from the service's own address. A warning says that something was left out."""
    folder = tmp_path_factory.mktemp("python")
    command = ["openapi-python-client", "generate", "--meta", "none", "--output-path", PACKAGE]
    ran = run([*command, "--url", f"{product.url}/openapi.json"], folder)
    assert (ran.stdout + ran.stderr).split() == ["Generating", PACKAGE]
    return folder


def test_every_operation_has_its_module_and_every_answer_its_type(
    generated: Path, document: dict[str, Any]
) -> None:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            (module,) = generated.glob(f"{PACKAGE}/api/*/{operation['operationId']}.py")
            source = module.read_text(encoding="utf-8")
            said = {status for status in operation["responses"] if status != "default"}
            read = set(re.findall(r"if response\.status_code == (\d+):", source))
            assert read == said, (method, path)
            assert "response_default = ProblemDocument" in source, (method, path)
            assert "response_200 = response.json()" not in source, (method, path)


def test_no_model_is_made_twice(generated: Path, document: dict[str, Any]) -> None:
    """A shape that stands in an operation, not among the components, would be one model for each of these."""
    models = {path.stem for path in (generated / PACKAGE / "models").glob("[a-z]*.py")}
    named = {_snake_case(name) for name in document["components"]["schemas"]}
    assert named <= models
    # Maps, and the choice of one route's query.
    assert models - named == {
        "about_links",
        "audit_line_view_detail",
        "asyncapi_response_200",
        "openapi_response_200",
        "json_web_keys_keys_item",
        "list_audit_action",
    }


def test_the_client_does_a_products_work(generated: Path, product: Product) -> None:
    """Also without a warning: `-W error`."""
    story = PROJECT / "tests" / "clients" / "story.py"
    ran = run(
        ["python", "-W", "error", story, product.url, product.key], generated, PYTHONPATH=str(generated)
    )
    assert ran.stdout + ran.stderr == ""


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
