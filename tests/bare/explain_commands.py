"""Run by a bare environment: has every command explain itself, in one process, since a start takes a while.

Each line of the input is a list of words in JSON; the output has one line for each: the exit code of
`creditctl WORDS --help`, and what it printed.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys


def main() -> None:
    for line in sys.stdin:
        sys.stdout.write(json.dumps(explained(json.loads(line))) + "\n")


def explained(words: list[str]) -> tuple[object, str]:
    from composition.commands.cli import main as creditctl

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            code: object = creditctl([*words, "--help"])
        except SystemExit as ended:
            code = ended.code
    return code, printed.getvalue()


if __name__ == "__main__":
    main()
