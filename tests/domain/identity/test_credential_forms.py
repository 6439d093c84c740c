"""What a misplaced credential looks like."""

from __future__ import annotations

import pytest

from domain.identity.api_keys import format_api_key, secret_of
from domain.identity.credential_forms import CredentialForm, form_of
from domain.identity.tokens import refresh_token
from domain.ids import time_ordered_id


def test_ours_are_told_by_how_they_begin() -> None:
    key = format_api_key(time_ordered_id("key", 1, bytes(10)), secret_of(bytes(32)))
    assert form_of(key) is CredentialForm.API_KEY
    assert form_of(refresh_token(b"k" * 32, "ses_1", 1)) is CredentialForm.REFRESH_TOKEN
    assert form_of("eyJhbGciOiJIUzI1NiJ9.e30.c2ln") is CredentialForm.SIGNED_TOKEN


@pytest.mark.parametrize("text", ["", "c", "ck", "CK_x", "made-up", "undefined", " ck_x"])
def test_anything_else_has_no_form(text: str) -> None:
    assert form_of(text) is None
