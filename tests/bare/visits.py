"""One served product as a user first meets it: every page is asked for, every answer kept."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.bare.environments import Environment, plain

READY_S_MAX = 60.0
"""Several start at a time, on machines that do other things besides."""
ANSWER_S_MAX = 30.0
STOP_S_MAX = 30.0
COMMAND_S_MAX = 60.0
UNLISTED = ("/docs",)
"""Pages that the OpenAPI document describes with a parameter are found in what names them."""


@dataclass(frozen=True, slots=True)
class Visit:
    """What was served. `pages` has the status of every page by its path; `document` is the OpenAPI
    document."""

    pages: Mapping[str, int]
    document: Mapping[str, object]
    exit_code: int
    log: str


@dataclass(frozen=True, slots=True)
class Ran:
    exit_code: int
    output: str
    errors: str


def visit(environment: Environment, server: str, runtime: str, folder: Path) -> Visit:
    """Starts a demo, asks for every page that needs no parameter, and ends it."""
    folder.mkdir(parents=True)
    key_file, log_file = folder / "key", folder / "log"
    command = [
        environment.creditctl, "demo", "--bind", "127.0.0.1:0", "--server", server, "--runtime", runtime,
        "--bootstrap-api-key-file", str(key_file),
    ]  # fmt: skip
    with log_file.open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=plain(), stdout=log, stderr=subprocess.STDOUT)
    try:
        url = _url(process, log_file)
        headers = {"X-API-Key": key_file.read_text(encoding="ascii").strip()}
        with httpx.Client(base_url=url, headers=headers, timeout=ANSWER_S_MAX, trust_env=False) as client:
            pages, document = _pages(client)
        process.terminate()
        code = process.wait(STOP_S_MAX)
    finally:
        process.kill()
        process.wait()
    return Visit(pages, document, code, log_file.read_text(encoding="utf-8"))


def _url(process: subprocess.Popen[bytes], log_file: Path) -> str:
    give_up_s = time.monotonic() + READY_S_MAX
    while (found := re.search(r"serving on (\S+)", log_file.read_text(encoding="utf-8"))) is None:
        if process.poll() is not None or time.monotonic() > give_up_s:
            raise AssertionError(f"the demo did not start:\n{log_file.read_text(encoding='utf-8')}")
        time.sleep(0.02)
    return found[1]


def _pages(client: httpx.Client) -> tuple[dict[str, int], dict[str, object]]:
    answer = client.get("/openapi.json")
    pages = {"/openapi.json": answer.status_code}
    document: dict[str, object] = answer.json() if answer.is_success else {}
    paths = document.get("paths", {})
    assert isinstance(paths, dict)
    wanted = [*UNLISTED, *(path for path, methods in paths.items() if "get" in methods and "{" not in path)]
    for path in wanted:
        if path not in pages:
            answer = client.get(path)
            pages[path] = answer.status_code
            if path == "/docs":
                wanted += [f"/{named}" for named in re.findall(r'(?:href|src)="([^":]*)"', answer.text)]
    return pages, document


def run(environment: Environment, *arguments: str, folder: Path, settings: Mapping[str, str]) -> Ran:
    """One command, to its end."""
    done = subprocess.run(
        [environment.creditctl, *arguments], check=False, cwd=folder, env=plain(settings),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_S_MAX,
    )  # fmt: skip
    return Ran(done.returncode, done.stdout, done.stderr)


def as_document(text: str) -> dict[str, object]:
    document: dict[str, object] = json.loads(text)
    return document
