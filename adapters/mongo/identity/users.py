"""Users in MongoDB."""

from __future__ import annotations

from adapters.mongo.audit import AuditEntries
from adapters.mongo.driver.errors import DuplicateKey
from adapters.mongo.driver.interface import Document, Index, MongoDriver, MongoTransaction
from adapters.mongo.encrypted_fields import is_settled, opened, sealed
from adapters.mongo.idempotency import remember_in
from adapters.mongo.sweep import Rewrite
from adapters.mongo.validators import INTEGER, LIST, PERSONAL, TEXT, Validators, documents_of, or_null
from domain.audit import AuditEvent
from domain.idempotency import RememberedAnswer
from domain.identity.users import DEVICES_KNOWN_MAX, Role, User, uniqueness_key
from ports.encryption.field_cipher import FieldCipher
from ports.identity.users import AnswerFor, RenameRefused, UserAdded, UserPage, Users

COLLECTION = "users"
BY_USERNAME = "by_username"
BY_EMAIL = "by_email"

INDEXES = {
    COLLECTION: (
        Index(BY_USERNAME, (("username_key", 1),), unique=True),
        Index(BY_EMAIL, (("email_key", 1),), unique=True),
    )
}

VALIDATORS: Validators = {
    COLLECTION: documents_of(
        {
            "_id": TEXT,
            "username": TEXT,
            "username_key": TEXT,
            "email": PERSONAL,
            "email_key": PERSONAL,
            "roles": LIST,
            "password_hash": TEXT,
            "credential_version": INTEGER,
            "created_ms": INTEGER,
        },
        {"last_login_ms": or_null(INTEGER), "known_devices": LIST, "logins": INTEGER, "keys": INTEGER},
    )
}


class UserDocuments:
    """Users as they are stored. `email` is its field's cipher.

    An earlier release wrote e-mail addresses in the clear, with their uniqueness key where their blind index
    stands now. The unique index holds apart the keys of one form; `refuse_earlier` those of both.
    """

    def __init__(self, *, email: FieldCipher) -> None:
        self._email = email

    def document(self, user: User) -> Document:
        return {
            "_id": user.id,
            "username": user.username,
            "username_key": user.username_key,
            **self.email_fields(user.id, user.email),
            "roles": sorted(role.value for role in user.roles),
            "password_hash": user.password_hash,
            "credential_version": user.credential_version,
            "created_ms": user.created_ms,
            "last_login_ms": user.last_login_ms,
            "known_devices": list(user.known_devices),
        }

    def read(self, document: Document) -> User:
        """Raises `UnreadableField`."""
        return User(
            id=document["_id"],
            username=document["username"],
            email=opened(self._email, document["_id"], document["email"]),
            roles=frozenset(map(Role, document["roles"])),
            password_hash=document["password_hash"],
            created_ms=document["created_ms"],
            credential_version=document["credential_version"],
            last_login_ms=document["last_login_ms"],
            # Users of earlier releases have none.
            known_devices=tuple(document.get("known_devices", ())),
        )

    def email_fields(self, user_id: str, email: str) -> Document:
        """What is stored of an e-mail address: itself, and what it is found by."""
        index = self._email.blind_index(uniqueness_key(email))
        return {"email": sealed(self._email, user_id, email), "email_key": index}

    def settling(self, document: Document) -> Rewrite | None:
        """Brings an e-mail address and its key into today's form (`adapters.mongo.sweep`)."""
        user_id, email, key = document["_id"], document["email"], document["email_key"]
        if is_settled(self._email, email) and isinstance(key, bytes):
            return None
        fields = self.email_fields(user_id, opened(self._email, user_id, email))
        as_read = {"_id": user_id, "email": {"$eq": email}, "email_key": {"$eq": key}}
        return Rewrite(as_read, {"$set": fields}, ("email",))

    def with_email(self, email_key: str) -> Document:
        """A filter, by either form of the key."""
        return {"email_key": {"$in": [self._email.blind_index(email_key), email_key]}}

    async def refuse_earlier(self, transaction: MongoTransaction, user_id: str, email_key: str) -> None:
        """Raises `DuplicateKey` as the server does, when another user has the address in its earlier form.

        What writes the later form at this moment either commits before, and is seen, or conflicts.
        """
        earlier = {"email_key": email_key, "_id": {"$ne": user_id}}
        if await transaction.collection(COLLECTION).find_one(earlier, projection={"_id": 1}):
            raise DuplicateKey(BY_EMAIL, {"email_key": 1}, {})


class MongoUsers:
    def __init__(self, *, driver: MongoDriver, documents: UserDocuments, audit: AuditEntries) -> None:
        self._driver = driver
        self._documents = documents
        self._audit = audit
        self._users = driver.collection(COLLECTION)

    async def add(
        self, user: User, event: AuditEvent, *, answer: RememberedAnswer | None = None
    ) -> UserAdded:
        async def write(transaction: MongoTransaction) -> None:
            await remember_in(transaction, answer)
            await self._documents.refuse_earlier(transaction, user.id, user.email_key)
            await transaction.collection(COLLECTION).insert_one(self._documents.document(user))
            await self._audit.record_in(transaction, event)

        try:
            await self._driver.transaction(write)
        except DuplicateKey as refused:
            is_username = await self._is_username(refused, user.id, user.username_key)
            return UserAdded.USERNAME_TAKEN if is_username else UserAdded.EMAIL_TAKEN
        return UserAdded.ADDED

    async def get(self, user_id: str) -> User | None:
        return self._read(await self._users.find_one({"_id": user_id}))

    async def find_by_username(self, username_key: str) -> User | None:
        return self._read(await self._users.find_one({"username_key": username_key}))

    async def find_by_email(self, email_key: str) -> User | None:
        return self._read(await self._users.find_one(self._documents.with_email(email_key)))

    async def list_page(self, *, limit: int, cursor: str | None) -> UserPage:
        query = {} if cursor is None else {"_id": {"$lt": cursor}}
        found = await self._users.find(query, sort=(("_id", -1),), limit=limit + 1)
        items = tuple(map(self._documents.read, found[:limit]))
        return UserPage(items=items, next_cursor=items[-1].id if len(found) > limit else None)

    async def rename(
        self,
        user_id: str,
        *,
        username: str | None,
        email: str | None,
        event: AuditEvent,
        answer: AnswerFor | None = None,
    ) -> User | RenameRefused:
        names: dict[str, object] = {}
        username_key = None if username is None else uniqueness_key(username)
        if username is not None:
            names |= {"username": username, "username_key": username_key}
        if email is not None:
            names |= self._documents.email_fields(user_id, email)

        async def write(transaction: MongoTransaction) -> User | RenameRefused:
            if email is not None:
                await self._documents.refuse_earlier(transaction, user_id, uniqueness_key(email))
            found = await transaction.collection(COLLECTION).find_one_and_update(
                {"_id": user_id}, {"$set": names}
            )
            if found is None:
                return RenameRefused.GONE
            renamed = self._documents.read(found)
            await remember_in(transaction, None if answer is None else answer(renamed))
            await self._audit.record_in(transaction, event)
            return renamed

        try:
            return await self._driver.transaction(write)
        except DuplicateKey as refused:
            is_username = await self._is_username(refused, user_id, username_key)
            return RenameRefused.USERNAME_TAKEN if is_username else RenameRefused.EMAIL_TAKEN

    async def replace_password_hash(self, user_id: str, *, expected: str, replacement: str) -> bool:
        updated = await self._users.update_one(
            {"_id": user_id, "password_hash": expected}, {"$set": {"password_hash": replacement}}
        )
        return updated.matched == 1

    def _read(self, document: Document | None) -> User | None:
        return None if document is None else self._documents.read(document)

    async def _is_username(self, refused: DuplicateKey, user_id: str, username_key: str | None) -> bool:
        """Whether the username is somebody else's: the server names one index only, in no order of ours, and
        the username comes first. What else is refused is raised again."""
        if refused.index == BY_USERNAME:
            return True
        if refused.index != BY_EMAIL:
            raise refused
        if username_key is None:
            return False
        other = await self._users.find_one({"username_key": username_key}, projection={"_id": 1})
        return other is not None and other["_id"] != user_id


async def note_login_in(
    transaction: MongoTransaction, user_id: str, *, credential_version: int, device: str, now_ms: int
) -> bool:
    """False when the user is gone or has changed credentials since.

    It writes, so a change of credentials or another login of the user at the same moment conflicts with it,
    and one of them waits for the other.
    """
    others: Document = {
        "$filter": {"input": {"$ifNull": ["$known_devices", []]}, "cond": {"$ne": ["$$this", device]}}
    }
    # Counted only so that every login changes the user: the server takes an update that changes nothing for
    # none, and two logins of one device in one millisecond would then not see each other.
    logins: Document = {"$add": [{"$ifNull": ["$logins", 0]}, 1]}
    known: Document = {"$slice": [{"$concatArrays": [others, [device]]}, -DEVICES_KNOWN_MAX]}
    updated = await transaction.collection(COLLECTION).update_one(
        {"_id": user_id, "credential_version": credential_version},
        [{"$set": {"last_login_ms": now_ms, "known_devices": known, "logins": logins}}],
    )
    return updated.matched == 1


async def note_key_in(transaction: MongoTransaction, user_id: str) -> bool:
    """False when the user is gone, or no administrator any more. It writes, as above."""
    updated = await transaction.collection(COLLECTION).update_one(
        {"_id": user_id, "roles": Role.ADMIN.value}, {"$inc": {"keys": 1}}
    )
    return updated.matched == 1


def _proof(users: MongoUsers) -> Users:
    """mypy holds the adapter to its port here."""
    return users
