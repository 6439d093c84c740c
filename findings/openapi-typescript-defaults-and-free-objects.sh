#!/usr/bin/env bash
# openapi-typescript: a member of a body that has a default has to be sent, and an object that declares no members
# is the empty object. Without `default`, and with `additionalProperties: true`, neither is so. No word of warning.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"private": true}' >package.json
npm install --no-audit --no-fund --ignore-scripts --loglevel=error openapi-typescript@7.13.0 typescript@5.9.3 >/dev/null
npx openapi-typescript --version

cat >openapi.json <<'END'
{
  "openapi": "3.1.0",
  "info": {"title": "Things", "version": "1"},
  "paths": {},
  "components": {
    "schemas": {
      "Bare": {
        "type": "object",
        "properties": {"size": {"type": "integer", "default": 50}, "metadata": {"type": "object"}}
      },
      "Said": {
        "type": "object",
        "properties": {
          "size": {"type": "integer", "description": "Default: `50`."},
          "metadata": {"type": "object", "additionalProperties": true}
        }
      }
    }
  }
}
END
npx openapi-typescript openapi.json --output api.d.ts 2>&1 | tee log
[ -z "$(grep -i warn log || true)" ]
cat >use.ts <<'END'
import type { components } from "./api";
export const sizes: components["schemas"]["Said"] = { metadata: { order: 1 } };
export const bare: components["schemas"]["Bare"] = { size: 1, metadata: { order: 1 } };
export const none: components["schemas"]["Bare"] = {};
END
code=0
npx tsc --strict --noEmit use.ts >errors || code=$?
cat errors
[ "$code" != 0 ]
[ "$(grep -c 'error TS' errors)" = 2 ]
grep -q "use.ts(3,.*not assignable to type 'never'" errors
grep -q "use.ts(4,.*Property 'size' is missing" errors
