"""`python -m composition` is `creditctl`."""

from __future__ import annotations

import sys

from composition.commands.cli import main

if __name__ == "__main__":
    sys.exit(main())
