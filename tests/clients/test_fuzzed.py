"""schemathesis asks the service whatever its document allows, and much that it does not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.clients.installed import run
from tests.ground.sources import PROJECT
from tests.system.product import Person, Product

EXAMPLES = 6
"""Of each operation beyond those that every bound and every kind of wrong input make, which are many more."""
SEED = 20_261_201
ENDING = frozenset({"logout", "end_session", "end_sessions", "delete_me", "change_password"})
"""Operations after which the caller is nobody."""

Operations = set[str]


def test_keys_may_do_what_the_document_says(
    product: Product, document: dict[str, Any], tmp_path: Path
) -> None:
    operations = all_operations(document) - of_users(document)
    ran = fuzz(product, tmp_path, {"X-API-Key": product.key}, operations)
    # Nothing was asked in vain, by a caller who was shut out.
    assert "Authentication failed" not in ran


def test_users_may_do_what_the_document_says(
    product: Product, document: dict[str, Any], tmp_path: Path
) -> None:
    ran = fuzz(product, tmp_path, headers_of(Person(product, "mallory")), of_users(document) - ENDING)
    assert "Authentication failed" not in ran
    fuzz(product, tmp_path, headers_of(Person(product, "trent")), ENDING)


def fuzz(product: Product, folder: Path, headers: dict[str, str], operations: Iterable[str]) -> str:
    """Every check there is. What is no fault stands in `accepted.py`, with its reason."""
    command = ["schemathesis", "run", f"{product.url}/openapi.json", "--phases", "coverage,fuzzing"]
    command += ["--checks", "all", "--mode", "all", "--continue-on-failure", "--no-color"]
    command += ["--seed", str(SEED), "--max-examples", str(EXAMPLES), "--suppress-health-check", "all"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    wanted = sorted(operations)
    for operation in wanted:
        command += ["--include-operation-id", operation]
    accepted = PROJECT / "tests" / "clients" / "accepted.py"
    ran = run(command, folder, SCHEMATHESIS_HOOKS=str(accepted))
    assert re.search(rf"Tested: {len(wanted)}$", ran.stdout, re.MULTILINE), ran.stdout
    return ran.stdout


def headers_of(person: Person) -> dict[str, str]:
    tokens = person.tokens
    return {"Authorization": f"Bearer {tokens['access_token']}", "X-Device-Id": tokens["device_id"]}


def all_operations(document: dict[str, Any]) -> Operations:
    return {
        operation["operationId"] for methods in document["paths"].values() for operation in methods.values()
    }


def of_users(document: dict[str, Any]) -> Operations:
    """Those that only a user's token opens."""
    return {
        operation["operationId"]
        for methods in document["paths"].values()
        for operation in methods.values()
        if operation["security"] == [{"bearer": []}]
    }
