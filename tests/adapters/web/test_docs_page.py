"""The page to try the routes with is served from here alone, and runs nothing that is not its own."""

from __future__ import annotations

import hashlib
import re

import pytest

from adapters.web.api_documents.routes import MEDIA_TYPES, POLICY
from ports.runtime import Runtime
from tests.adapters.web.service import open_service
from tests.conformance.runtimes import Driver, run_real
from tests.ground.sources import PROJECT

__all__ = ["run_real"]

FOLDER = PROJECT / "adapters" / "web" / "api_documents" / "swagger_ui"
PUBLISHED = {
    "LICENSE": "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30",
    "NOTICE": "0d20d1adef18aee3f40dd258172155521ce702ac445cb5f7b7d60ed32dad2fb2",
    "favicon-32x32.png": "3ed612f41e050ca5e7000cad6f1cbe7e7da39f65fca99c02e99e6591056e5837",
    "swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    "swagger-ui-bundle.js.LICENSE.txt": "37eb6e7e59aed57b2c1acf076574b818ea07b74265717e0bd67b59e0baf9abbb",
    "swagger-ui.css": "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
}
"""SHA-256 of what `swagger-ui-dist` 5.35.0 consists of."""
OWN = ("index.html", "page.css", "start.js")


def test_swagger_ui_is_as_it_was_published() -> None:
    found = {name: hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() for name in PUBLISHED}
    assert found == PUBLISHED
    assert set(MEDIA_TYPES) == {*OWN, "favicon-32x32.png", "swagger-ui-bundle.js", "swagger-ui.css"}


def test_our_own_part_of_the_page_names_no_other_host_and_stands_in_files() -> None:
    for name in OWN:
        text = (FOLDER / name).read_text(encoding="utf-8")
        assert not re.search(r"https?:|//[a-z]", text), name
    page = (FOLDER / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]* src=)", page)
    assert "unsafe" not in POLICY


def test_the_page_and_all_that_it_names_are_served_here(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        client = open_service(runtime).client
        page = await client.request("GET", "/docs")
        assert (page.status, page.header("content-type")) == (200, "text/html; charset=utf-8")
        assert page.header("content-security-policy") == POLICY
        assert page.header("x-content-type-options") == "nosniff"
        named = re.findall(r'(?:href|src)="([^"]*)"', page.body.decode())
        assert {"docs/start.js", "docs/swagger-ui-bundle.js", "openapi.json", "asyncapi.json"} <= set(named)
        for path in named:
            reply = await client.request("GET", f"/{path}")
            assert reply.status == 200, path
            media_type = MEDIA_TYPES.get(path.removeprefix("docs/"), "application/json")
            assert reply.header("content-type") == media_type
        again = await client.request("GET", "/docs/swagger-ui.css")
        assert again.body == (FOLDER / "swagger-ui.css").read_bytes()

    run_real(body)


@pytest.mark.parametrize(
    "path", ["__init__.py", "LICENSE", "..%2froute.py", "%2e%2e/route.py", "start.js%00", "", "/etc/passwd"]
)
def test_nothing_else_is_served(run_real: Driver, path: str) -> None:
    async def body(runtime: Runtime) -> None:
        client = open_service(runtime).client
        assert (await client.request("GET", f"/docs/{path}")).status == 404

    run_real(body)
