"""From the start of `creditctl demo` to its first answer, and its orderly end."""

from __future__ import annotations

import http.client
import signal
import subprocess
import sys
import time

from benchmarks.rounds import answer_rounds_in_order, configuration
from benchmarks.sides.served import free_port

ANSWER_S_MAX = 30.0
POLL_S = 0.005


def main() -> None:
    configuration()
    answer_rounds_in_order(lambda _: {"seconds": _first_answer()}, {})


def _first_answer() -> float:
    port = free_port()
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "composition", "demo", "--bind", f"127.0.0.1:{port}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as demo:
        try:
            while not _answers(port):
                if demo.poll() is not None or time.perf_counter() - began > ANSWER_S_MAX:
                    raise RuntimeError("the demo gave no answer")
                time.sleep(POLL_S)
            return time.perf_counter() - began
        finally:
            demo.send_signal(signal.SIGTERM)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S_MAX)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == http.client.OK
    except ConnectionRefusedError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    main()
