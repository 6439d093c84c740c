"""The example of docs/request-signing.md is run as it stands, against a service."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.composition.hosting.serving import Serving

DOCUMENT = Path(__file__).parents[2] / "docs" / "request-signing.md"


def example() -> str:
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    return str(code)


@pytest.mark.parametrize("server", ["hypercorn", "uvicorn", "granian"])
def test_the_example_signs_so_that_the_service_believes_it(tmp_path: Path, server: str) -> None:
    key_file = tmp_path / "key"
    with Serving("demo", "--server", server, "--bootstrap-api-key-file", str(key_file)) as serving:
        url = serving.url()
        made = httpx.post(
            f"{url}/api-keys",
            json={"name": "shop", "scopes": ["credits:write"], "require_signature": True},
            headers={"X-API-Key": key_file.read_text().strip()},
        ).json()
        environ = {
            **os.environ,
            "SERVICE_URL": url,
            "API_KEY_ID": made["id"],
            "API_KEY": made["key"],
            "SIGNING_SECRET": made["signing_secret"],
        }
        ran = subprocess.run(
            [sys.executable, "-c", example()], env=environ, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.startswith('201 {"id":"alice-gems"')
        unsigned = httpx.get(f"{url}/credits/accounts/alice-gems", headers={"X-API-Key": made["key"]})
        assert (unsigned.status_code, unsigned.json()["code"]) == (401, "invalid_signature")
