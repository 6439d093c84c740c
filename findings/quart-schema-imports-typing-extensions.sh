#!/usr/bin/env bash
# quart-schema imports typing_extensions on every Python and declares it below 3.11 only: whoever installs it alone on
# 3.11 or newer cannot import it. Ends with 1 when that has changed.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT

"${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "needs Python 3.11 or newer" >&2; exit 2; }
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  quart-schema==0.25.0 quart==0.22.0 msgspec==0.22.0 2>"$folder/errors" || { cat "$folder/errors" >&2; exit 2; }

"$folder/venv/bin/python" --version
"$folder/venv/bin/python" -m pip check
"$folder/venv/bin/python" - <<'END'
from importlib.metadata import requires, version

print("quart-schema", version("quart-schema"), "declares", [line for line in requires("quart-schema") if "typing" in line])
try:
    import quart_schema
except ModuleNotFoundError as error:
    print(f"import quart_schema: {type(error).__name__}: {error}")
    raise SystemExit(error.name != "typing_extensions")
print("import quart_schema works: this has changed")
raise SystemExit(1)
END
