"""Changes of credentials in MongoDB: one transaction over users, sessions and keys."""

from __future__ import annotations

from adapters.mongo.audit import AuditEntries
from adapters.mongo.driver.interface import MongoDriver, MongoTransaction
from adapters.mongo.idempotency import remember_in
from adapters.mongo.identity import api_keys, sessions, users
from domain.audit import AuditEvent
from domain.idempotency import RememberedAnswer
from domain.identity.users import Role
from ports.identity.credential_store import CredentialStore, EndEvents, RevokedIds, RolesChanged
from ports.identity.users import AnswerFor


class MongoCredentials:
    """Each writes the user first: a login or a new key at the same moment writes it too, so one waits for the
    other. `admin` is a pool under the administrator's role, which alone may remove a user."""

    def __init__(
        self,
        *,
        driver: MongoDriver,
        admin: MongoDriver,
        documents: users.UserDocuments,
        audit: AuditEntries,
    ) -> None:
        self._driver = driver
        self._admin = admin
        self._documents = documents
        self._audit = audit

    async def change_password(
        self,
        user_id: str,
        *,
        expected_version: int,
        password_hash: str,
        known_devices: tuple[str, ...],
        now_ms: int,
        event: AuditEvent,
        end_events: EndEvents,
    ) -> RevokedIds | None:
        async def write(transaction: MongoTransaction) -> RevokedIds | None:
            updated = await transaction.collection(users.COLLECTION).update_one(
                {"_id": user_id, "credential_version": expected_version},
                {
                    "$set": {
                        "password_hash": password_hash,
                        "credential_version": expected_version + 1,
                        "known_devices": list(known_devices),
                    }
                },
            )
            if not updated.matched:
                return None
            ended = await sessions.end_all_in(transaction, user_id, now_ms, end_events.session, self._audit)
            await self._audit.record_in(transaction, event)
            return RevokedIds(session_ids=ended)

        return await self._driver.transaction(write)

    async def change_roles(
        self,
        user_id: str,
        *,
        roles: frozenset[Role],
        now_ms: int,
        event: AuditEvent,
        end_events: EndEvents,
        answer: AnswerFor | None = None,
    ) -> RolesChanged | None:
        names = sorted(role.value for role in roles)

        async def write(transaction: MongoTransaction) -> RolesChanged | None:
            # Another version, so that a login under way with the old roles comes to nothing.
            found = await transaction.collection(users.COLLECTION).find_one_and_update(
                {"_id": user_id}, {"$set": {"roles": names}, "$inc": {"credential_version": 1}}
            )
            if found is None:
                return None
            user = self._documents.read(found)
            await remember_in(transaction, None if answer is None else answer(user))
            session_ids = await sessions.end_all_in(
                transaction, user_id, now_ms, end_events.session, self._audit
            )
            key_ids: tuple[str, ...] = ()
            if Role.ADMIN not in roles:
                key_ids = await api_keys.revoke_sponsored_in(
                    transaction, user_id, now_ms, end_events.api_key, self._audit
                )
            await self._audit.record_in(transaction, event)
            return RolesChanged(user, RevokedIds(session_ids=session_ids, api_key_ids=key_ids))

        return await self._driver.transaction(write)

    async def remove_user(
        self,
        user_id: str,
        *,
        now_ms: int,
        event: AuditEvent,
        end_events: EndEvents,
        answer: RememberedAnswer | None = None,
    ) -> RevokedIds | None:
        async def write(transaction: MongoTransaction) -> RevokedIds | None:
            if not await transaction.collection(users.COLLECTION).delete_one({"_id": user_id}):
                return None
            await remember_in(transaction, answer)
            session_ids = await sessions.end_all_in(
                transaction, user_id, now_ms, end_events.session, self._audit
            )
            await sessions.leave_in(transaction, user_id, now_ms)
            key_ids = await api_keys.revoke_sponsored_in(
                transaction, user_id, now_ms, end_events.api_key, self._audit
            )
            await self._audit.record_in(transaction, event)
            return RevokedIds(session_ids=session_ids, api_key_ids=key_ids)

        return await self._admin.transaction(write)


def _proof(credentials: MongoCredentials) -> CredentialStore:
    """mypy holds the adapter to its port here."""
    return credentials
