"""The worker processes of a running product, looked at as an operator does."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

import httpx

from composition.hosting.serve import LINK_DIRECTORY
from tests.system.product import ANSWER_S_MAX, Product

WAIT_S_MAX = 30.0
_ANYBODY = ssl.create_default_context()
"""A throw-away authority's certificate is as good as any here."""
_ANYBODY.check_hostname = False
_ANYBODY.verify_mode = ssl.CERT_NONE


def wait_until(condition: Callable[[], bool], what: str, s_max: float = WAIT_S_MAX) -> float:
    """The seconds it took."""
    began_s = monotonic()
    while not condition():
        assert monotonic() < began_s + s_max, f"waited {s_max} s for {what}"
        sleep(0.02)
    return monotonic() - began_s


def workers_of(product: Product) -> list[int]:
    pid = product.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def directory_of(worker: int) -> Path:
    """Where the workers meet."""
    variables = Path(f"/proc/{worker}/environ").read_bytes().split(b"\0")
    (found,) = [each for each in variables if each.startswith(LINK_DIRECTORY.encode() + b"=")]
    return Path(os.fsdecode(found.partition(b"=")[2]))


def holder_of(product: Product) -> int | None:
    """The worker that has the lock of the one book: the others open it for a moment only."""
    for worker in workers_of(product):
        with suppress(OSError):
            directory = str(directory_of(worker))
            opened = [_target_of(each) for each in Path(f"/proc/{worker}/fd").iterdir()]
            if any(target.startswith(directory) and target.endswith(".lock") for target in opened):
                return worker
    return None


def _target_of(descriptor: Path) -> str:
    """Nothing of one that was closed meanwhile."""
    try:
        return str(descriptor.readlink())
    except OSError:
        return ""


def ask(product: Product, method: str, path: str, body: object = None) -> httpx.Response:
    """On a new connection, which any worker may get. Asks again where a connection ended unanswered."""
    give_up_s = monotonic() + WAIT_S_MAX
    while monotonic() < give_up_s:
        with suppress(httpx.TransportError):
            return httpx.request(
                method,
                product.url + path,
                json=body,
                headers={"X-API-Key": product.key, "Connection": "close"},
                timeout=ANSWER_S_MAX,
                verify=_ANYBODY,
            )
        sleep(0.02)
    raise AssertionError(f"{method} {path} was not answered")


def metrics_of(product: Product) -> dict[str, float]:
    answer = ask(product, "GET", "/metrics")
    assert answer.status_code == 200, answer.text
    samples = (line.rpartition(" ") for line in answer.text.splitlines() if line and line[0] != "#")
    return {name: float(value) for name, _, value in samples}
