"""openapi-typescript's types are right to `tsc --strict`, and AsyncAPI's parser finds no fault."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from tests.clients.installed import CLIENTS, TYPESCRIPT, run


def generated(openapi: Path, folder: Path) -> Path:
    ran = run(["openapi-typescript", openapi, "--output", folder / "api.d.ts"], folder)
    assert "warn" not in (ran.stdout + ran.stderr).lower()
    for name in ("use.ts", "tsconfig.json"):
        shutil.copy(TYPESCRIPT / name, folder)
    return folder / "api.d.ts"


def test_the_types_compile_strictly_and_allow_what_is_allowed(openapi: Path, tmp_path: Path) -> None:
    generated(openapi, tmp_path)
    run(["tsc", "--project", tmp_path], tmp_path)


def test_the_compiler_would_find_what_generators_are_known_for(openapi: Path, tmp_path: Path) -> None:
    """Metadata that is the empty object, and members of a body that have to be sent."""
    api = generated(openapi, tmp_path)
    text = api.read_text(encoding="utf-8")
    assert not re.search(r"Record<string, never> \|", text)
    api.write_text(
        re.sub(
            r"(Metadata: )\{\s*\[key: string\]: unknown;\s*\};", r"\1Record<string, never>;", text
        ).replace("dry_run?: boolean", "dry_run: boolean"),
        encoding="utf-8",
    )
    ran = run(["tsc", "--project", tmp_path], tmp_path, expected=2)
    assert ran.stdout.count("error TS") >= 3


def test_the_parser_of_asyncapi_has_nothing_to_say_but_that_there_is_a_newer_version(asyncapi: Path) -> None:
    ran = run(["node", TYPESCRIPT / "asyncapi.mjs", CLIENTS, asyncapi], asyncapi.parent)
    *findings, last = ran.stdout.splitlines()
    assert [line for line in findings if " asyncapi-latest-version " not in line] == []
    messages = json.loads(asyncapi.read_text(encoding="utf-8"))["components"]["messages"]
    assert last == f"messages: {len(messages)}"


def test_the_parser_of_asyncapi_would_find_a_fault(asyncapi: Path, tmp_path: Path) -> None:
    document = json.loads(asyncapi.read_text(encoding="utf-8"))
    del document["channels"]["socket"]["messages"]["ping"]
    (tmp_path / "bad.json").write_text(json.dumps(document), encoding="utf-8")
    ran = run(["node", TYPESCRIPT / "asyncapi.mjs", CLIENTS, tmp_path / "bad.json"], tmp_path)
    assert "0 invalid-ref operations.ping" in ran.stdout
