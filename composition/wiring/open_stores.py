"""Opens the store of a name: MongoDB and Redis, or the memory of this process."""

from __future__ import annotations

from application.audit.trail import AuditCounter
from composition.config.secrets import Secrets
from composition.config.settings import Settings, StoreName
from composition.wiring.field_encryption import FieldEncryption
from composition.wiring.platform import Platform
from composition.wiring.stores import Stores


async def open_stores(name: StoreName, platform: Platform, settings: Settings, secrets: Secrets) -> Stores:
    """The stores, not started. Imports the drivers of the live store only for that store, which
    stretches the passphrases of the ring of fields."""
    on_recorded = AuditCounter(platform.metrics)
    if name is StoreName.MEMORY:
        from composition.wiring.memory_store import memory_store  # noqa: PLC0415

        return memory_store(settings, platform.clock, on_recorded=on_recorded)
    from composition.wiring.live_store import live_store  # noqa: PLC0415

    return await live_store(
        runtime=platform.runtime,
        settings=settings,
        secrets=secrets,
        entropy=platform.entropy,
        fields=FieldEncryption(platform, secrets),
        on_recorded=on_recorded,
    )
