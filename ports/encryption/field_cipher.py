"""Encryption of one field of what is stored."""

from __future__ import annotations

from typing import Protocol

from domain.encryption.envelope import FieldFault, FieldPlace
from domain.encryption.policies import FieldPolicy


class UnreadableField(Exception):
    """A stored value does not open: the words name its place and the fault, and hold nothing of the value."""

    def __init__(self, place: FieldPlace, fault: FieldFault) -> None:
        super().__init__(f"{place.collection} {place.document_id}, `{place.field}`: {fault.value}")
        self.place = place
        self.fault = fault


class FieldCipher(Protocol):
    """Opens what any process with the same ring has sealed for its field. Awaits nothing."""

    @property
    def policy(self) -> FieldPolicy:
        """Which field it is, and how it is written."""

    def encrypt(self, document_id: str, text: str) -> bytes:
        """An envelope (`domain.encryption.envelope`) under the ring's writing key."""

    def decrypt(self, document_id: str, stored: bytes) -> str:
        """The text. Raises `UnreadableField` for any bytes that were not sealed for this very place."""

    def blind_index(self, text: str) -> bytes:
        """16 bytes, the same for the same text of the field, by which documents are found. Without the key
        they tell nothing of the text. A rotation of the ring does not change them."""

    def is_current(self, stored: bytes) -> bool:
        """Whether the writing key and the policy's algorithm wrote this envelope."""
