"""What a text that is shown as a credential claims to be, by its form alone.

For a client that put a good one into the wrong place: nothing of it is checked, so nothing is told of it.
"""

from __future__ import annotations

from enum import Enum


class CredentialForm(Enum):
    API_KEY = "API key"
    REFRESH_TOKEN = "refresh token"
    SIGNED_TOKEN = "access token"
    """Or a WebSocket token, which looks alike."""


_PREFIXES = {
    "ck_": CredentialForm.API_KEY,
    "rt_": CredentialForm.REFRESH_TOKEN,
    # `{"` in base64url: how every JSON Web Token begins.
    "eyJ": CredentialForm.SIGNED_TOKEN,
}


def form_of(text: str) -> CredentialForm | None:
    """None for what has the form of none of ours."""
    return _PREFIXES.get(text[:3])
