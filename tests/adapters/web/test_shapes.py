"""Shapes become components that generators of clients read as they are meant."""

from __future__ import annotations

import enum
from types import ModuleType
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from msgspec import UNSET, Meta, UnsetType

from adapters.web.api_documents.openapi import openapi_document
from adapters.web.api_documents.shapes import Shapes, component_name
from composition.managers.plugin_context import RouteList
from credit_system import Answer, Body, Call, Metadata, Route, StoredMetadata, told_as
from domain.identity.access import PUBLIC
from tests.adapters.web.schemas import references

Item = TypeVar("Item")
PREFIX = "#/components/schemas/"


class Colour(enum.Enum):
    """Of a thing."""

    RED = "red"
    BLUE = "blue"


class Part(msgspec.Struct, kw_only=True):
    colour: Colour | None = None


class Circle(msgspec.Struct, kw_only=True, tag="circle"):
    radius: int


class Square(msgspec.Struct, kw_only=True, tag="square"):
    side: int


class Thing(Body, frozen=True, kw_only=True):
    """A thing.

    In two paragraphs.
    """

    size: Annotated[int, Meta(description="How big")] = 50
    kind: Literal["old", "new"] | None = None
    mode: Annotated[Literal["slow", "fast"], Meta(title="Mode")] = "slow"
    modes: list[Annotated[Literal["slow", "fast"], Meta(title="Mode")]] = msgspec.field(default_factory=list)
    metadata: Metadata | None = None
    free: dict[str, Any] = msgspec.field(default_factory=dict)
    name: Annotated[str, Meta(max_length=9), told_as("A name", maxLength=3)] = ""


class Given(msgspec.Struct, kw_only=True):
    always: int = 1
    sometimes: int | UnsetType = UNSET
    metadata: StoredMetadata
    shape: Circle | Square
    parts: list[Part]


class Page(msgspec.Struct, Generic[Item]):
    items: list[Item]


def given(kind: Any) -> dict[str, Any]:
    return Shapes(taken=[], given=[kind]).components


def test_every_class_is_one_component_and_every_reference_leads_to_one() -> None:
    shapes = Shapes(taken=[Thing, Part], given=[Given, Page[Part]])
    names = set(shapes.components)
    assert names == {
        "TestsThing", "TestsPart", "TestsPartAnswer", "TestsColour", "TestsColourAnswer", "TestsGiven",
        "TestsCircle", "TestsSquare", "TestsPagePart", "Mode", "Metadata",
    }  # fmt: skip
    assert {each.removeprefix(PREFIX) for each in references(shapes.components)} <= names
    for schema in shapes.components.values():
        Draft202012Validator.check_schema(schema)
    assert shapes.given(Given) == {"$ref": f"{PREFIX}TestsGiven"}
    assert shapes.given(Given, Part) == {
        "anyOf": [{"$ref": f"{PREFIX}TestsGiven"}, {"$ref": f"{PREFIX}TestsPartAnswer"}]
    }


def test_what_is_sent_has_no_default_and_no_null_among_its_choices() -> None:
    thing = Shapes(taken=[Thing], given=[]).components["TestsThing"]
    assert thing["description"] == "A thing.\n\nIn two paragraphs."
    fields = thing["properties"]
    assert thing["required"] == []
    assert all("default" not in each for each in fields.values())
    assert fields["size"]["description"] == "How big. Default: `50`."
    old_or_new = {"type": "string", "enum": ["new", "old"]}
    assert fields["kind"]["anyOf"] == [old_or_new, {"type": "null"}]
    assert fields["mode"]["$ref"] == fields["modes"]["items"]["$ref"] == f"{PREFIX}Mode"
    assert fields["metadata"]["anyOf"] == [{"$ref": f"{PREFIX}Metadata"}, {"type": "null"}]
    assert fields["free"]["additionalProperties"] is True
    assert (fields["name"]["maxLength"], fields["name"]["description"]) == (3, 'A name. Default: `""`.')
    assert thing["additionalProperties"] is False


def test_what_is_given_says_what_always_comes_and_leaves_room_for_more() -> None:
    components = given(Given)
    assert components["TestsGiven"]["required"] == ["always", "metadata", "shape", "parts"]
    colour = components["TestsColour"]
    assert "enum" not in colour
    assert colour["x-extensible-enum"] == ["blue", "red"]
    assert colour["description"] == "Of a thing. One of `blue`, `red`. There may be more in time."
    assert components["Metadata"]["additionalProperties"] is True
    assert "additionalProperties" not in given(Thing)["TestsThing"]


def test_what_tells_the_kinds_of_a_union_apart_stays_and_leads_there() -> None:
    components = given(Given)
    assert components["TestsCircle"]["properties"]["type"] == {"type": "string", "const": "circle"}
    assert components["TestsGiven"]["properties"]["shape"]["discriminator"]["mapping"] == {
        "circle": f"{PREFIX}TestsCircle",
        "square": f"{PREFIX}TestsSquare",
    }


def test_a_shape_that_is_sent_and_given_alike_stands_there_once() -> None:
    assert set(Shapes(taken=[Circle], given=[Circle]).components) == {"TestsCircle"}


def test_another_distributions_shape_is_named_for_it_whatever_is_installed_beside_it() -> None:
    def shape(module: str, name: str) -> Any:
        return msgspec.defstruct(name, [("id", str)], module=module)

    assert component_name(shape("plugins.credits.shapes", "TransferAnswer")) == "TransferAnswer"
    assert component_name(shape("welcome_gift", "TransferAnswer")) == "WelcomeGiftTransferAnswer"
    assert component_name(shape("welcome_gift.shapes", "WelcomeGiftBody")) == "WelcomeGiftBody"
    assert component_name(shape("__main__", "Wish")) == "MainWish"
    ours, theirs = shape("plugins.credits.shapes", "Wish"), shape("wish_list", "Wish")
    assert set(Shapes(taken=[ours], given=[theirs]).components) == {"Wish", "WishListWish"}


async def answer(_call: Call[Any, None]) -> Answer:
    return Answer(200)


def test_two_shapes_that_want_one_name_stop_the_start_and_are_named() -> None:
    first = msgspec.defstruct("Wish", [("id", str)], module="wish_list.bodies")
    second = msgspec.defstruct("Wish", [("name", str)], module="wish_list.answers")
    routes = RouteList()
    routes.add([Route("POST", "/a", "a", PUBLIC, answer, body=first)])
    with pytest.raises(ValueError, match=r"named WishListWish: one is wish_list\.answers\.Wish"):
        routes.add([Route("POST", "/b", "b", PUBLIC, answer, body=second)])


def test_what_is_sent_and_what_is_answered_may_be_called_alike() -> None:
    first = msgspec.defstruct("Wish", [("id", str)], module="wish_list.bodies")
    second = msgspec.defstruct("Wish", [("name", str)], module="wish_list.answers")
    shapes = Shapes(taken=[first], given=[second])
    assert set(shapes.components) == {"WishListWish", "WishListWishAnswer"}
    assert shapes.given(second)["$ref"].endswith("/WishListWishAnswer")


def test_a_shape_without_a_schema_stops_the_start() -> None:
    kind = msgspec.defstruct("Odd", [("module", ModuleType)], module="odd")
    with pytest.raises(TypeError):
        RouteList().add([Route("GET", "/odd", "odd", PUBLIC, answer, answer=kind)])


def test_every_success_of_a_route_has_its_own_shape_and_each_media_type_is_named() -> None:
    document = openapi_document(
        [
            Route("POST", "/things", "make", PUBLIC, answer, body=Thing, answer=Given, success=201,
                  other_successes=(202,), other_answers={200: Part}),
            Route("GET", "/text/<name>", "text", PUBLIC, answer, media_types=("text/csv",)),
        ],
        title="t",
        version="1",
    )  # fmt: skip
    responses = document["paths"]["/things"]["post"]["responses"]
    schemas = {
        status: response["content"]["application/json"]["schema"]["$ref"].removeprefix(PREFIX)
        for status, response in responses.items()
        if status != "default"
    }
    assert schemas == {"201": "TestsGiven", "202": "TestsGiven", "200": "TestsPart"}
    assert list(document["paths"]["/text/{name}"]["get"]["responses"]["200"]["content"]) == ["text/csv"]
