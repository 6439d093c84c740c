"""The kind of credential that a text appears to be, by its form alone.

It helps a client that sent a good credential in the wrong place. Nothing is checked, so nothing is disclosed.
"""

from __future__ import annotations

from enum import Enum


class CredentialForm(Enum):
    API_KEY = "API key"
    REFRESH_TOKEN = "refresh token"
    SIGNED_TOKEN = "access token"
    """Or a WebSocket token, which has the same form."""


_PREFIXES = {
    "ck_": CredentialForm.API_KEY,
    "rt_": CredentialForm.REFRESH_TOKEN,
    # `{"` in base64url, the beginning of every JSON Web Token.
    "eyJ": CredentialForm.SIGNED_TOKEN,
}


def form_of(text: str) -> CredentialForm | None:
    """The kind of credential of ours whose form a text has; None for any other text."""
    return _PREFIXES.get(text[:3])
