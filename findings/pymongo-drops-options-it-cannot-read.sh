#!/usr/bin/env bash
# PyMongo drops an option of a connection string that it does not know, or whose value it cannot read, and only warns:
# `tls=maybe` makes a client without TLS, and Python's default filter shows a library's warning once, or to nobody.
# Nothing is connected to. Ends with 1 when that has changed.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT

"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check pymongo==4.20.0 2>"$folder/errors" \
  || { cat "$folder/errors" >&2; exit 2; }

"$folder/venv/bin/python" - <<'END'
import warnings

import pymongo

print("pymongo", pymongo.version)
changed = False
for options, name in (("tls=maybe", "tls"), ("replicaset=rs0&tlss=true", "tlss")):
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        client = pymongo.MongoClient(f"mongodb://127.0.0.1/?{options}", connect=False)
        uses_tls = client.options.pool_options._ssl_context is not None
        client.close()
    words = [str(warning.message) for warning in heard]
    print(f"?{options}: a client, TLS {'on' if uses_tls else 'off'}, warned {words}")
    changed |= uses_tls or not words
raise SystemExit(changed)
END
