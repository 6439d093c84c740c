"""The exit codes of `creditctl`, and the report of a failure."""

from __future__ import annotations

import sys

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CONFIGURATION = 78
"""`EX_CONFIG` of BSD's sysexits(3)."""
EXIT_INTERRUPTED = 130
"""A shell's code for a program that SIGINT ended."""


def failed(*reasons: str) -> int:
    """Prints each reason on a line of standard error. `EXIT_FAILED`."""
    for reason in reasons:
        print(f"creditctl: {reason}", file=sys.stderr, flush=True)
    return EXIT_FAILED
