"""The ciphers of stored fields, over one ring that is taken in again while the service runs."""

from __future__ import annotations

from collections.abc import Callable

from adapters.crypto.field_cipher import FieldKeyring, RingFieldCipher
from application.encryption.unreadable_fields import ReportedCipher, UnreadableFields
from composition.config.ring_file import parse_encryption_ring
from composition.config.secrets import ENCRYPTION_FILE, Secrets
from composition.wiring.platform import Platform
from composition.wiring.ring_watch import RingFile
from domain.encryption.keyring import Ring
from domain.encryption.policies import FieldPolicy
from ports.encryption.field_cipher import FieldCipher


class FieldEncryption:
    """A cipher for each policy. Building it stretches the ring's passphrases, a quarter of a second each."""

    def __init__(self, platform: Platform, secrets: Secrets) -> None:
        ring = secrets.encryption_ring
        look = None
        if secrets.encryption_file is not None:
            look = RingFile(
                ENCRYPTION_FILE,
                secrets.encryption_file,
                ring.keys,
                parse=_keys_beside(ring.index_root),
                runtime=platform.runtime,
                metrics=platform.metrics,
            ).reload
        self.unreadable = UnreadableFields(
            clock=platform.clock, entropy=platform.entropy, metrics=platform.metrics
        )
        """Hears of each stored value that does not open."""
        self._platform = platform
        self._look = look
        self._keyring = FieldKeyring(ring, clock=platform.clock, look=look)

    def cipher(self, policy: FieldPolicy) -> FieldCipher:
        """The cipher of one field. Ciphers share the ring, and go on with a new one together."""
        platform = self._platform
        cipher = RingFieldCipher(policy, self._keyring, clock=platform.clock, entropy=platform.entropy)
        return ReportedCipher(cipher, self.unreadable)

    def writing_id(self) -> bytes:
        """The id of the key that writes now."""
        return self._keyring.writing_id()

    async def reload(self) -> bool:
        """Reads the ring again. Whether it has changed. Passphrases are stretched in a thread."""
        ring = None if self._look is None else self._look()
        if ring is None:
            return False
        before = self._keyring.roots
        roots = await self._platform.runtime.run_in_thread(self._keyring.roots_of, ring)
        # What asked for an unknown key meanwhile has taken a later one.
        if self._keyring.roots is before:
            self._keyring.take(ring, roots)
        return True


def _keys_beside(index_root: str) -> Callable[[str], Ring]:
    """Reads the keys of a ring, and refuses one of another index root: it would find nothing any more."""

    def parse(text: str) -> Ring:
        ring = parse_encryption_ring(text)
        if ring.index_root != index_root:
            raise ValueError("another index_root than at the start")
        return ring.keys

    return parse
