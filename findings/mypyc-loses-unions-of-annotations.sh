#!/usr/bin/env bash
# A module compiled by mypyc keeps the annotations of a named tuple only in part: `int | None` is `type` at run time, and
# `tuple[str, ...]` is `tuple`; `str` stays. msgspec, pydantic and others that read them then check against the wrong
# types, or none. Needs a compiler of C and the headers of Python. Ends with 1 when that has changed.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT

"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  mypy==2.4.1 setuptools==80.9.0 2>"$folder/errors" || { cat "$folder/errors" >&2; exit 2; }

cd "$folder"
cat >lots.py <<'END'
from __future__ import annotations

from typing import NamedTuple


class Lot(NamedTuple):
    grant: str
    expires_ms: int | None
    keys: tuple[str, ...] = ()
END
cat >show.py <<'END'
from typing import get_type_hints

import lots

compiled = not lots.__file__.endswith(".py")
hints = get_type_hints(lots.Lot)
print("compiled:  " if compiled else "interpreted:", hints)
whole = {"grant": str, "expires_ms": int | None, "keys": tuple[str, ...]}
lost = {"grant": str, "expires_ms": type, "keys": tuple}
raise SystemExit(hints != (lost if compiled else whole))
END

"$folder/venv/bin/python" --version
"$folder/venv/bin/python" -m mypy --version
"$folder/venv/bin/python" show.py
PATH="$folder/venv/bin:$PATH" "$folder/venv/bin/mypyc" lots.py >"$folder/errors" 2>&1 || { cat "$folder/errors" >&2; exit 2; }
rm lots.py
"$folder/venv/bin/python" show.py
