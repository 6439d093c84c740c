"""The diagram of docs/token-states.md is the table that the code goes by."""

from __future__ import annotations

import re
from pathlib import Path

from domain.identity.tokens import LIFECYCLE, TokenEvent, TokenState

PAGE = Path(__file__).parents[2] / "docs" / "token-states.md"


def diagram() -> str:
    lines = ["stateDiagram-v2"]
    for (before, event), (after, decision) in LIFECYCLE.items():
        start = "[*]" if before is TokenState.UNISSUED and event is TokenEvent.ISSUED else before.value
        gets = "" if decision is None else f" / {decision.value}"
        lines.append(f"    {start} --> {after.value}: {event.value}{gets}")
    return "\n".join(lines) + "\n"


def test_the_diagram_says_what_the_table_says() -> None:
    (shown,) = re.findall(r"```mermaid\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert shown == diagram()
