"""What an earlier release wrote of a session, and what it leaves of what a later one wrote."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.mongo.identity.sessions import _document, _session
from domain.identity.sessions import SessionPolicy, rotate
from tests.conformance.identity import NOW_MS, a_session, a_user

POLICY = SessionPolicy()


def rotated_twice() -> dict[str, Any]:
    session = a_session(a_user())
    for at_ms in (NOW_MS + 1, NOW_MS + 2):
        session = rotate(session, address="", user_agent="", now_ms=at_ms, policy=POLICY)
    assert _session(_document(session), "", "") == session
    return dict(_document(session))


def test_a_session_that_knows_of_no_rotations_has_its_last_one() -> None:
    document = rotated_twice()
    del document["rotations_ms"], document["shown_generation"]
    session = _session(document, "", "")
    assert (session.rotations_ms, session.confirmed_generation) == ((NOW_MS + 2,), 0)


def test_a_session_that_was_never_rotated_has_none() -> None:
    document = dict(_document(a_session(a_user())))
    del document["rotations_ms"]
    assert _session(document, "", "").rotations_ms == ()


@pytest.mark.parametrize("shown", [0, 3])
def test_rotations_of_a_release_that_notes_none_leave_none_that_are_wrong(shown: int) -> None:
    document = rotated_twice() | {"generation": 5, "rotated_ms": NOW_MS + 9, "shown_generation": shown}
    session = _session(document, "", "")
    assert session.rotations_ms == (NOW_MS + 9,)
    assert session.confirmed_generation != session.generation
