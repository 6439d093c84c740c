#!/usr/bin/env bash
# openapi-python-client: two answers of one operation whose schemas stand in it under one title. The second is
# left out of the client, which is made all the same; the exit code is 0. Named components are both there.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv environment
environment/bin/python -m pip install --quiet --disable-pip-version-check openapi-python-client==0.29.1 2>pip.log \
  || { cat pip.log >&2; exit 1; }
PATH="$folder/environment/bin:$PATH"
openapi-python-client --version

python3 - <<'END'
import copy, json
inline = {"title": "Answer", "type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
def document(schema, components):
    answer = {"description": "An answer", "content": {"application/json": {"schema": schema}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Things", "version": "1"},
        "paths": {"/things": {"post": {"operationId": "make", "tags": ["things"], "responses": {
            "201": copy.deepcopy(answer), "200": copy.deepcopy(answer)}}}},
        "components": components,
    }
json.dump(document(inline, {}), open("inline.json", "w"))
json.dump(document({"$ref": "#/components/schemas/Answer"}, {"schemas": {"Answer": inline}}), open("named.json", "w"))
END

statuses() { grep -oE 'status_code == [0-9]+' "$1/api/things/make.py" | grep -oE '[0-9]+' | sort | tr '\n' ' '; }

code=0
openapi-python-client generate --path inline.json --meta none --output-path inline >inline.log 2>&1 || code=$?
sed 's/ at 0x[0-9a-f]*/ at 0x…/' inline.log
echo "schemas in the operation: exit code $code, answers read: $(statuses inline)"
[ "$code" = 0 ]
grep -q 'duplicate models with name "MakeAnswer"), response will be omitted' inline.log
[ "$(statuses inline)" != "200 201 " ]

openapi-python-client generate --path named.json --meta none --output-path named >named.log 2>&1
echo "schemas among the components: answers read: $(statuses named)"
[ "$(statuses named)" = "200 201 " ]
