"""What schemathesis calls a failure and is meant so, each with its reason. It loads this file itself."""

from __future__ import annotations

import json
from typing import Any

import schemathesis  # type: ignore[import-not-found] # only the environment of the clients has it

METADATA_BYTES_MAX = 512


@schemathesis.hook  # type: ignore[misc] # as above
def filter_failure(_context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Whether it is a failure. A request that the schema allows may be refused for what no schema says."""
    if type(failure).__name__ != "RejectedPositiveData" or response.status_code != 400:
        return True
    detail = response.json()["detail"]
    print("KEEP?", case.operation.label, detail, type(failure).__name__)
    return not _is_whole_number_as_float(case.body)


def _is_whole_number_as_float(body: Any) -> bool:
    """To JSON Schema 5.0 is an integer. To us it is refused like any other float: amounts are money, and what
    writes them with a point may have rounded them before."""
    if isinstance(body, dict):
        return any(map(_is_whole_number_as_float, body.values()))
    if isinstance(body, list):
        return any(map(_is_whole_number_as_float, body))
    return isinstance(body, float) and body.is_integer()


def _is_metadata_too_long(body: Any) -> bool:
    return isinstance(body, dict) and len(json.dumps(body.get("metadata"), ensure_ascii=False)) > METADATA_BYTES_MAX
