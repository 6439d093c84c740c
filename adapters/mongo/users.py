"""Users in MongoDB."""

from __future__ import annotations

from adapters.mongo.audit import record_in
from adapters.mongo.driver import Document, Index, MongoDriver, MongoTransaction
from adapters.mongo.errors import DuplicateKey
from domain.audit import AuditEvent
from domain.users import Role, User
from ports.users import UserAdded, Users

COLLECTION = "users"
BY_USERNAME = "by_username"
BY_EMAIL = "by_email"

INDEXES = {
    COLLECTION: (
        Index(BY_USERNAME, (("username_key", 1),), unique=True),
        Index(BY_EMAIL, (("email_key", 1),), unique=True),
    )
}


class MongoUsers:
    def __init__(self, *, driver: MongoDriver) -> None:
        self._driver = driver
        self._users = driver.collection(COLLECTION)

    async def add(self, user: User, event: AuditEvent) -> UserAdded:
        async def write(transaction: MongoTransaction) -> None:
            await transaction.collection(COLLECTION).insert_one(_document(user))
            await record_in(transaction, event)

        try:
            await self._driver.transaction(write)
        except DuplicateKey as refused:
            if refused.index == BY_USERNAME:
                return UserAdded.USERNAME_TAKEN
            if refused.index != BY_EMAIL:
                raise
            # The server names one index only, in no order of ours: the username comes first.
            is_username_taken = await self.find_by_username(user.username_key) is not None
            return UserAdded.USERNAME_TAKEN if is_username_taken else UserAdded.EMAIL_TAKEN
        return UserAdded.ADDED

    async def get(self, user_id: str) -> User | None:
        return _user(await self._users.find_one({"_id": user_id}))

    async def find_by_username(self, username_key: str) -> User | None:
        return _user(await self._users.find_one({"username_key": username_key}))

    async def find_by_email(self, email_key: str) -> User | None:
        return _user(await self._users.find_one({"email_key": email_key}))

    async def replace_password_hash(self, user_id: str, *, expected: str, replacement: str) -> bool:
        updated = await self._users.update_one(
            {"_id": user_id, "password_hash": expected}, {"$set": {"password_hash": replacement}}
        )
        return updated.matched == 1


async def note_login_in(
    transaction: MongoTransaction, user_id: str, *, credential_version: int, now_ms: int
) -> bool:
    """False when the user is gone or has changed credentials since.

    It writes, so a change of credentials at the same moment conflicts with it and one of them loses.
    """
    updated = await transaction.collection(COLLECTION).update_one(
        {"_id": user_id, "credential_version": credential_version},
        {"$set": {"last_login_ms": now_ms}},
    )
    return updated.matched == 1


def _document(user: User) -> Document:
    return {
        "_id": user.id,
        "username": user.username,
        "username_key": user.username_key,
        "email": user.email,
        "email_key": user.email_key,
        "roles": sorted(role.value for role in user.roles),
        "password_hash": user.password_hash,
        "credential_version": user.credential_version,
        "created_ms": user.created_ms,
        "last_login_ms": user.last_login_ms,
    }


def _user(document: Document | None) -> User | None:
    if document is None:
        return None
    return User(
        id=document["_id"],
        username=document["username"],
        email=document["email"],
        roles=frozenset(map(Role, document["roles"])),
        password_hash=document["password_hash"],
        created_ms=document["created_ms"],
        credential_version=document["credential_version"],
        last_login_ms=document["last_login_ms"],
    )


def _proof(users: MongoUsers) -> Users:
    """mypy holds the adapter to its port here."""
    return users
