"""Several processes of the service on one book: workers of one host, or each on a host of its own.

Each is the ledger's own side with its share of the callers; a round is measured in all of them at once.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from benchmarks.rounds import Figures, answer_rounds_in_order, configuration

END_S_MAX = 20.0


class _Worker:
    def __init__(self, config: Mapping[str, Any]) -> None:
        self._process = subprocess.Popen(
            (sys.executable, "-m", "benchmarks.sides.ledger"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ask(config)
        self.answer()

    def ask(self, question: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Figures:
        assert self._process.stdout is not None
        answer: Figures = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        try:
            self._process.communicate(timeout=END_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def main() -> None:
    config = configuration()
    with ExitStack() as stack:
        # One after the other: the first opens the accounts, and the others find them.
        workers: list[_Worker] = []
        shared = stack.enter_context(tempfile.TemporaryDirectory(prefix="credit-"))
        for _ in range(config["workers"]):
            worker = _Worker({**config, "link_directory": shared if config["one_host"] else None})
            stack.callback(worker.close)
            workers.append(worker)

        def measured(seconds: float) -> Figures:
            for worker in workers:
                worker.ask({"seconds": seconds})
            figures = [worker.answer() for worker in workers]
            each = [figure["per_second"] for figure in figures]
            return {
                "per_second": sum(each),
                "p50_ms": max(figure["p50_ms"] for figure in figures),
                # Of the slowest: it is nobody's excuse that another process was fast.
                "p99_ms": max(figure["p99_ms"] for figure in figures),
                "least_share": min(each) / (sum(each) / len(each)),
            }

        answer_rounds_in_order(measured, {})


if __name__ == "__main__":
    main()
