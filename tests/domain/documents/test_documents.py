"""What a document may hold, and what may be asked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.documents.document import (
    DOCUMENT_BYTES_MAX,
    PARTS,
    Act,
    Collection,
    DatabaseRole,
    Document,
    DocumentRejection,
    FieldKind,
    complete,
    rejection_of,
)
from domain.documents.queries import Condition, DocumentPosition, Equals, Query, Range, answer
from domain.encryption.policies import Encrypted, EncryptionAlgorithm, FieldPolicy

NOTES = Collection(
    "notes",
    "note",
    {"owner": FieldKind.TEXT, "stars": FieldKind.INTEGER, "done": FieldKind.BOOLEAN},
    (("owner", "stars"),),
    partition="owner",
)


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("fields", "rejection"),
    [
        ({"owner": "ada", "stars": 3, "done": True, "text": "é", "tags": ["a", {"b": 1.5}]}, None),
        ({}, None),
        ({"owner": None}, None),
        ({"$where": "1"}, DocumentRejection.INVALID_FIELD_NAME),
        ({"a.b": 1}, DocumentRejection.INVALID_FIELD_NAME),
        ({"": 1}, DocumentRejection.INVALID_FIELD_NAME),
        ({"a\0": 1}, DocumentRejection.INVALID_FIELD_NAME),
        ({"x": {"$ne": None}}, DocumentRejection.INVALID_FIELD_NAME),
        ({"x": [{"a.b": 1}]}, DocumentRejection.INVALID_FIELD_NAME),
        ({"x": {1: 1}}, DocumentRejection.INVALID_FIELD_NAME),
        ({f"f{number}": 1 for number in range(65)}, DocumentRejection.INVALID_FIELD_NAME),
        ({"x": float("nan")}, DocumentRejection.INVALID_VALUE),
        ({"x": 2**63}, DocumentRejection.INVALID_VALUE),
        ({"x": "\ud800"}, DocumentRejection.INVALID_VALUE),
        ({"x": "a\0b"}, DocumentRejection.INVALID_VALUE),
        ({"x": b"bytes"}, DocumentRejection.INVALID_VALUE),
        ({"x": object()}, DocumentRejection.INVALID_VALUE),
        ({"x": nested(7)}, None),
        ({"x": nested(8)}, DocumentRejection.INVALID_VALUE),
        ({"x": nested(10_000)}, DocumentRejection.INVALID_VALUE),
        ({"owner": {"$ne": None}}, DocumentRejection.INVALID_FIELD_NAME),
        ({"owner": ["ada"]}, DocumentRejection.DECLARED_KIND_DIFFERS),
        ({"owner": 1}, DocumentRejection.DECLARED_KIND_DIFFERS),
        ({"owner": "a" * 257}, DocumentRejection.DECLARED_KIND_DIFFERS),
        ({"stars": True}, DocumentRejection.DECLARED_KIND_DIFFERS),
        ({"stars": 3.0}, DocumentRejection.DECLARED_KIND_DIFFERS),
        ({"done": 1}, DocumentRejection.DECLARED_KIND_DIFFERS),
        ({"text": "a" * DOCUMENT_BYTES_MAX}, DocumentRejection.TOO_LARGE),
    ],
)
def test_a_document_holds_what_json_can_under_plain_names(
    fields: dict[str, Any], rejection: DocumentRejection | None
) -> None:
    assert rejection_of(NOTES, fields) is rejection


def test_each_role_may_what_it_may() -> None:
    allowed = {role: {act for act in Act if role.may(act)} for role in DatabaseRole}
    assert allowed == {
        DatabaseRole.READ_ONLY: {Act.FIND},
        DatabaseRole.READ_WRITE: {Act.FIND, Act.INSERT, Act.UPDATE},
        DatabaseRole.ADMIN: {Act.FIND, Act.INSERT, Act.UPDATE, Act.DELETE},
    }


@pytest.mark.parametrize(
    "make",
    [
        lambda: Collection("Notes", "note"),
        lambda: Collection("notes", "a.b"),
        lambda: Collection("notes", "note", {"$a": FieldKind.TEXT}),
        lambda: Collection("notes", "note", {}, (("owner",),)),
        lambda: Collection("notes", "note", {}, partition="owner"),
        lambda: Query(NOTES, (Equals("text", "undeclared"),)),
        lambda: Query(NOTES, (Equals("owner", {"$ne": None}),)),  # type: ignore[arg-type]
        lambda: Query(NOTES, (Equals("owner", ["ada"]),)),  # type: ignore[arg-type]
        lambda: Query(NOTES, (Equals("stars", True),)),
        lambda: Query(NOTES, (Range("done", 0, 1),)),
        lambda: Query(NOTES, (Range("stars", "0"),)),
        lambda: Query(NOTES, (Equals("stars", 1),) * 17),
        lambda: Query(NOTES, order_by="text"),
        lambda: Query(NOTES, limit=0),
        lambda: Query(NOTES, limit=201),
        lambda: Query(NOTES, after=DocumentPosition(1, "x")),
        lambda: Query(NOTES, order_by="stars", after=DocumentPosition("1", "x")),
        lambda: Query(NOTES, after=DocumentPosition(None, '{"$gt": ""}')),
    ],
)
def test_what_cannot_be_asked_is_said_at_once(make: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        make()


def test_a_query_with_another_meaning_has_another_name() -> None:
    queries = [
        Query(NOTES),
        Query(Collection("other", "note", NOTES.fields)),
        Query(NOTES, (Equals("owner", "ada"),)),
        Query(NOTES, (Equals("owner", None),)),
        Query(NOTES, (Equals("owner", "None"),)),
        Query(NOTES, (Equals("stars", 1),)),
        Query(NOTES, (Equals("done", True),)),
        Query(NOTES, (Range("stars", 1),)),
        Query(NOTES, (Range("stars", None, 1),)),
        Query(NOTES, limit=2),
        Query(NOTES, order_by="stars"),
        Query(NOTES, order_by="stars", descending=True),
        Query(NOTES, order_by="stars", after=DocumentPosition(1, "x")),
        Query(NOTES, order_by="stars", after=DocumentPosition(1, "y")),
    ]
    assert len({query.name for query in queries}) == len(queries)
    assert Query(NOTES, (Equals("owner", "ada"),)).name == queries[2].name


owners = st.none() | st.sampled_from(["ada", "bob", "", "€"])


@st.composite
def documents(draw: st.DrawFn) -> list[Document]:
    ids = draw(st.lists(st.integers(0, 99), unique=True, max_size=12))
    return [
        Document(
            f"d{number:02}",
            complete(NOTES, {"owner": draw(owners), "stars": draw(st.none() | st.integers(-2, 2))}),
            "r",
        )
        for number in ids
    ]


@st.composite
def queries(draw: st.DrawFn) -> Query:
    some: list[Any] = [
        Equals("owner", draw(owners)),
        Equals("stars", draw(st.none() | st.integers(-2, 2))),
        Range("stars", draw(st.none() | st.integers(-2, 2)), draw(st.none() | st.integers(-2, 2))),
    ]
    where = draw(st.lists(st.sampled_from(some), max_size=2))
    order = draw(st.sampled_from([None, "owner", "stars"]))
    return Query(NOTES, tuple(where), order, draw(st.booleans()), draw(st.integers(1, 4)))


@given(queries(), documents())
def test_pages_one_after_the_other_are_the_whole_answer(query: Query, kept: list[Document]) -> None:
    whole = answer(Query(NOTES, query.where, query.order_by, query.descending, 200), kept)
    paged: list[Document] = []
    after = None
    for _ in range(len(kept) + 1):
        page = answer(Query(NOTES, query.where, query.order_by, query.descending, query.limit, after), kept)
        paged += page[: query.limit]
        if len(page) <= query.limit:
            break
        after = query.position_of(page[query.limit - 1])
    assert paged == whole
    places = [(query.position_of(each).value is not None, query.position_of(each).id) for each in whole]
    assert len(places) == len(set(places))


@given(queries(), documents())
def test_every_document_of_an_answer_lies_in_a_part_of_the_query(query: Query, kept: list[Document]) -> None:
    for document in answer(query, kept):
        assert NOTES.part(document.id, document.fields) in query.parts


def test_a_query_without_the_partition_concerns_every_part_and_one_with_it_a_single_one() -> None:
    assert len(Query(NOTES).parts) == PARTS
    assert len(Query(NOTES, (Equals("owner", "ada"), Equals("stars", 1))).parts) == 1
    assert len({NOTES.part_of_value(f"user-{number}") for number in range(500)}) == PARTS
    apart = Collection("notes", "apart")
    assert len({apart.part(f"d{number}", {}) for number in range(500)}) == PARTS


SECRETIVE = Collection(
    "notes",
    "secret",
    {"owner": FieldKind.TEXT, "phone": FieldKind.TEXT, "name": FieldKind.TEXT},
    partition="owner",
    encrypted={
        "phone": Encrypted(indexed=True),
        "name": Encrypted(),
        "body": Encrypted(EncryptionAlgorithm.FERNET),
    },
)


def test_a_collection_gives_the_policy_of_each_encrypted_field() -> None:
    assert SECRETIVE.policies == (
        FieldPolicy("notes.secret", "phone", indexed=True),
        FieldPolicy("notes.secret", "name"),
        FieldPolicy("notes.secret", "body", EncryptionAlgorithm.FERNET),
    )
    assert NOTES.policies == ()


@pytest.mark.parametrize(
    ("encrypted", "problem"),
    [
        ({"a.b": Encrypted()}, "cannot be a field's name"),
        ({"owner": Encrypted(indexed=True)}, "names of parts would tell"),
        ({"stars": Encrypted(indexed=True)}, "declared, as a text"),
        ({"body": Encrypted(indexed=True)}, "declared, as a text"),
        ({"title": Encrypted()}, "without an index"),
    ],
)
def test_an_encrypted_field_that_cannot_be_kept_is_no_declaration(
    encrypted: dict[str, Encrypted], problem: str
) -> None:
    fields = {"owner": FieldKind.TEXT, "stars": FieldKind.INTEGER, "title": FieldKind.TEXT}
    with pytest.raises(ValueError, match=problem):
        Collection("notes", "note", fields, (("title", "stars"),), "owner", encrypted)


def test_an_indexed_encrypted_field_is_found_by_equality_alone() -> None:
    assert Query(SECRETIVE, (Equals("phone", "+1"), Range("owner", "a"))).limit == 50


@pytest.mark.parametrize("condition", [Range("phone", "+1"), Range("name", "a"), Equals("name", "ada")])
def test_an_encrypted_field_is_not_asked_for_otherwise(condition: Condition) -> None:
    with pytest.raises(ValueError, match="is encrypted"):
        Query(SECRETIVE, (condition,))


@pytest.mark.parametrize("name", ["phone", "name"])
def test_an_encrypted_field_gives_no_order(name: str) -> None:
    with pytest.raises(ValueError, match="has no order"):
        Query(SECRETIVE, order_by=name)
