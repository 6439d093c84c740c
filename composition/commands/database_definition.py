"""`init-scripts/database.json`: collections, validators, indexes and roles, as declared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from adapters.mongo.catalog import CATALOG, VALIDATORS
from adapters.mongo.driver.names import RENAMED
from adapters.mongo.indexes import options_of
from adapters.mongo.roles import ROLES, RoleDefinition

_ABOUT = (
    "Printed by `python -m composition.commands.database_definition > init-scripts/database.json`; "
    "a test holds this file and the service together."
)


def definition() -> Mapping[str, Any]:
    """What `init-scripts/mongodb-init.js` makes, in MongoDB's own words."""
    validators = {name: validator for declared in VALIDATORS for name, validator in declared.items()}
    return {
        "about": _ABOUT,
        "collections": {
            name: {"validator": validators[name], "indexes": [options_of(index) for index in indexes]}
            for declared in CATALOG
            for name, indexes in declared.items()
        },
        "renamed": RENAMED,
        "roles": {role.name: _role(role) for role in ROLES},
    }


def page() -> str:
    """The file's text."""
    return json.dumps(definition(), indent=2) + "\n"


def _role(role: RoleDefinition) -> Mapping[str, Any]:
    return {
        "database": role.database,
        "collections": role.collections,
        "plugins": role.plugins,
    }


if __name__ == "__main__":
    print(page(), end="")
