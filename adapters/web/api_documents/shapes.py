"""What routes and frames are made of, as JSON Schema: each shape once, under a name, as generators read it.

msgspec makes the schemas. What is changed in them is what generators of clients get wrong, and what would
bind clients to more than is promised:

- A shape of the service is named for its class. One of another distribution has that one's import package
  before it: what is installed beside it, or added to the service later, never renames it.
- What has a `title` of its own (`Meta(title=…)`) is a component as well, so that a generator makes one type
  of it and not one a field.
- An object without declared members takes any (`additionalProperties: true`): a bare `type: object` is the
  empty object to some.
- A choice that may be null is `anyOf` with null, never a null among the values.
- What is taken has no `default`: some generators demand such a member, others send it. Its description tells.
- What is given says which members always come, leaves room for more, and a choice in it is a string whose
  values may grow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from inspect import cleandoc
from typing import Any, Final

import msgspec
from msgspec import NODEFAULT, inspect

Schema = dict[str, Any]
Change = Callable[[Schema], Schema]

REFERENCE: Final = "#/components/schemas/{name}"
NULL: Final[Schema] = {"type": "null"}
TOLD: Final = "x-told"
"""In `extra_json_schema`: what is said in place of what msgspec says; see `adapters.web.fields.told_as`."""
OWN_PACKAGES: Final = frozenset({"adapters", "application", "composition", "domain", "plugins", "ports"})
MAY_GROW: Final = "There may be more in time."

_UNUSABLE = re.compile(r"[^a-zA-Z0-9.\-_]")
_LITERALS = frozenset({"const", "default", "enum", "examples", "required", TOLD})
_WITH_FIELDS = (inspect.StructType, inspect.TypedDictType, inspect.DataclassType, inspect.NamedTupleType)


class Shapes:
    """The components of everything that is `taken` (bodies, queries) and `given` (answers).

    A shape that is both stands there once, or, where the two must differ, a second time as `…Answer`.
    Raises ValueError when two shapes want one name.
    """

    def __init__(self, *, taken: Iterable[Any], given: Iterable[Any]) -> None:
        sent, answered = _taken_components(taken), _given_components(given)
        self._renamed = _apart(sent, answered)
        self.components: Schema = {}
        for name, schema in sent.items():
            _add(self.components, name, schema)
        for name, schema in answered.items():
            _add(self.components, self._renamed.get(name, name), _renamed_in(schema, self._renamed))

    def taken(self, kind: Any) -> Schema:
        """A reference to what is sent."""
        return reference(component_name(kind))

    def given(self, *kinds: Any) -> Schema:
        """A reference to what is answered: where it may be one of several, the first that fits."""
        names = [component_name(kind) for kind in kinds]
        references = [reference(self._renamed.get(name, name)) for name in names]
        return references[0] if len(references) == 1 else {"anyOf": references}

    def fields(self, kind: type[msgspec.Struct]) -> Iterator[tuple[str, Schema, bool]]:
        """Name, schema and whether it must come, of what is spread over parameters. These have no null: what
        is absent is absent."""
        whole = self.components[component_name(kind)]
        for name, schema in whole["properties"].items():
            yield name, _without_null(schema), name in whole["required"]


def component_name(kind: Any) -> str:
    """Stable: it depends on nothing but where the class is defined and what it is called."""
    name = pascal_case(_class_name(kind))
    prefix = "" if is_own(kind) else pascal_case(_package(kind))
    return name if name.startswith(prefix) else prefix + name


def is_own(kind: Any) -> bool:
    """Whether the service defines it, and not another distribution."""
    return _package(kind) in OWN_PACKAGES


def pascal_case(words: str) -> str:
    """`X-Request-ID` is `XRequestID`, `insufficient_funds` is `InsufficientFunds`."""
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[^A-Za-z0-9]+", words))


def reference(name: str) -> Schema:
    return {"$ref": REFERENCE.format(name=name)}


# --- from msgspec's schemas to ours


def _taken_components(kinds: Iterable[Any]) -> Schema:
    made: Schema = {}
    for name, schema, info in _components(kinds):
        ours = _hoisted(_changed(schema, _portable), made)
        for member in ours.get("properties", {}).values():
            _tell_default(member)
        _add(made, name, _with_tag(ours, info))
    return made


def _given_components(kinds: Iterable[Any]) -> Schema:
    made: Schema = {}
    for name, schema, info in _components(kinds):
        ours = _hoisted(_changed(schema, _open), made)
        for member in ours.get("properties", {}).values():
            member.pop("default", None)
        if isinstance(info, inspect.StructType):
            ours["required"] = _always_there(info)
        _add(made, name, _with_tag(ours, info))
    return made


def _add(made: Schema, name: str, schema: Schema) -> None:
    if made.setdefault(name, schema) != schema:
        raise ValueError(f"two shapes of the API document are named {name}")


def _components(kinds: Iterable[Any]) -> Iterator[tuple[str, Schema, inspect.Type]]:
    """Each class within these, with the schema that msgspec makes of it, under its name."""
    kinds = list(dict.fromkeys(kinds))
    _, schemas = msgspec.json.schema_components(kinds, ref_template=REFERENCE)
    infos: dict[str, inspect.Type] = {}
    names: dict[str, str] = {}
    for kind, info in _nameable(inspect.multi_type_info(kinds), set()):
        # Classes that are called alike have their whole paths for names in msgspec.
        path = _UNUSABLE.sub("_", f"{kind.__module__}.{kind.__qualname__}")
        theirs = path if path in schemas else _UNUSABLE.sub("_", _class_name(kind))
        ours = component_name(kind)
        if ours in names.values():
            raise ValueError(f"two shapes of the API document are named {ours}: one is {path}")
        names[theirs], infos[theirs] = ours, info
    for theirs, ours in names.items():
        # The title that msgspec gives to a class is its name once more.
        schema = {name: member for name, member in schemas[theirs].items() if name != "title"}
        yield ours, _renamed_in(schema, names), infos[theirs]


def _nameable(found: Any, seen: set[Any]) -> Iterator[tuple[Any, inspect.Type]]:
    """The classes of which msgspec makes components, each once."""
    if isinstance(found, list | tuple):
        for each in found:
            yield from _nameable(each, seen)
    elif isinstance(found, inspect.Type | inspect.Field):
        if isinstance(found, (*_WITH_FIELDS, inspect.EnumType)):
            if found.cls in seen:
                return
            seen.add(found.cls)
            yield found.cls, found
        for name in found.__struct_fields__:
            yield from _nameable(getattr(found, name), seen)


def _changed(schema: Any, change: Change) -> Any:
    """This schema and all within it, the innermost first."""
    if isinstance(schema, list):
        return [_changed(each, change) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner: Schema = {}
    for name, member in schema.items():
        if name == "properties":
            inner[name] = {each: _changed(value, change) for each, value in member.items()}
        else:
            inner[name] = member if name in _LITERALS else _changed(member, change)
    return change(inner)


def _portable(schema: Schema) -> Schema:
    schema |= schema.pop(TOLD, {})
    if "description" in schema:
        schema["description"] = cleandoc(schema["description"])
    if schema.get("type") == "object" and not schema.keys() & {"properties", "additionalProperties"}:
        schema["additionalProperties"] = True
    if "pattern" in schema:
        # `\Z` is Python's; in the dialect that JSON Schema names (ECMA-262) `$` means the same.
        schema["pattern"] = schema["pattern"].replace(r"\Z", "$")
    return _choice(schema) if "enum" in schema else schema


def _choice(schema: Schema) -> Schema:
    values = [value for value in schema["enum"] if value is not None]
    typed = {**schema, "enum": values}
    for name, kind in (("string", str), ("boolean", bool), ("integer", int)):
        if all(isinstance(value, kind) for value in values):
            typed = {"type": name, **typed}
            break
    if len(values) == len(schema["enum"]):
        return typed
    outer: Schema = {name: typed.pop(name) for name in ("description", "default") if name in typed}
    return {**outer, "anyOf": [typed, NULL]}


def _tell_default(member: Schema) -> None:
    default = member.pop("default", None)
    if default is not None:
        told = f"Default: `{json.dumps(default)}`"
        member["description"] = _sentences(member.get("description"), told)


def _open(schema: Schema) -> Schema:
    """With room for members and values to come."""
    schema = _portable(schema)
    values = schema.get("enum", ())
    if values and all(isinstance(value, str) for value in values):
        del schema["enum"]
        known = "One of " + ", ".join(f"`{value}`" for value in values)
        schema["description"] = _sentences(schema.get("description"), known, MAY_GROW)
        schema["x-extensible-enum"] = values
    if schema.get("additionalProperties") is False:
        del schema["additionalProperties"]
    return schema


def _always_there(info: inspect.StructType) -> list[str]:
    omits = getattr(info.cls, "__origin__", info.cls).__struct_config__.omit_defaults
    # To `inspect`, what may be UNSET has no default and is not required.
    return [
        field.encode_name
        for field in info.fields
        if field.required or not (omits or field.default is field.default_factory is NODEFAULT)
    ]


def _with_tag(schema: Schema, info: inspect.Type) -> Schema:
    """What tells the kinds of a union apart has one value, which is no choice that may grow."""
    if not isinstance(info, inspect.StructType) or info.tag_field is None:
        return schema
    tag = {"type": "string" if isinstance(info.tag, str) else "integer", "const": info.tag}
    required = [name for name in schema["required"] if name != info.tag_field]
    return {
        **schema,
        "properties": {**schema["properties"], info.tag_field: tag},
        "required": [info.tag_field, *required],
    }


def _hoisted(schema: Any, made: Schema) -> Any:
    """With a reference in place of whatever has a title, which becomes a component of its own. What is said
    of the one place where it stands, a default or another description, stays there."""
    if isinstance(schema, list):
        return [_hoisted(each, made) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: member if name in _LITERALS else _hoisted(member, made) for name, member in schema.items()}
    if not isinstance(inner.get("title"), str):
        return inner
    name = inner.pop("title")
    here = {each: inner.pop(each) for each in ("default",) if each in inner}
    described = made.get(name, {}).get("description")
    if "description" in inner and described not in (None, inner["description"]):
        here["description"] = inner["description"]
        inner["description"] = described
    _add(made, name, inner)
    return {**reference(name), **here}


def _apart(sent: Schema, answered: Schema) -> dict[str, str]:
    """New names for answers that differ from what is sent under the same name, or hold one that does."""
    renamed: dict[str, str] = {}
    while True:
        differing = {
            name: f"{name}Answer"
            for name in (sent.keys() & answered.keys()) - renamed.keys()
            if sent[name] != _renamed_in(answered[name], renamed)
        }
        if not differing:
            return renamed
        renamed |= differing


def _renamed_in(schema: Any, names: Mapping[str, str]) -> Any:
    """With every reference to a component under that one's new name."""
    if isinstance(schema, list):
        return [_renamed_in(each, names) for each in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {name: _renamed_in(member, names) for name, member in schema.items()}
    if isinstance(changed.get("$ref"), str):
        changed["$ref"] = _renamed(changed["$ref"], names)
    if isinstance(changed.get("discriminator"), dict):
        mapping = changed["discriminator"].get("mapping", {})
        changed["discriminator"]["mapping"] = {tag: _renamed(each, names) for tag, each in mapping.items()}
    return changed


def _renamed(pointer: str, names: Mapping[str, str]) -> str:
    old = pointer.removeprefix(REFERENCE.format(name=""))
    return REFERENCE.format(name=names.get(old, old))


def _without_null(schema: Schema) -> Schema:
    if NULL not in schema.get("anyOf", ()):
        return schema
    left = [each for each in schema["anyOf"] if each != NULL]
    outer = {name: member for name, member in schema.items() if name != "anyOf"}
    return {**left[0], **outer} if len(left) == 1 else {**outer, "anyOf": left}


def _sentences(*parts: str | None) -> str:
    return " ".join(part if part.endswith((".", ":", "!", "?")) else f"{part}." for part in parts if part)


def _package(kind: Any) -> str:
    return str(kind.__module__).partition(".")[0]


def _class_name(kind: Any) -> str:
    """As msgspec calls it."""
    if not hasattr(kind, "__origin__"):
        return str(kind.__name__)
    arguments = ", ".join(each.__name__ if isinstance(each, type) else repr(each) for each in kind.__args__)
    return f"{kind.__origin__.__name__}[{arguments}]"
