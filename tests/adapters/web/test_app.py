"""The map from paths to routes: Werkzeug's, without what nothing here needs of it."""

from __future__ import annotations

import pytest
from quart import Quart
from quart.routing import QuartRule
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule

from adapters.web.app import MatchedRule

RULES = (
    "/",
    "/credits/accounts",
    "/credits/accounts/<id>",
    "/credits/accounts/<id>/entries",
    "/static/<path:file>",
)
PATHS = (
    *(
        "",
        "/",
        "//",
        "/credits/accounts",
        "/credits/accounts/",
        "/credits/accounts/a%2Fb",
        "/credits//accounts",
    ),
    *(
        "/credits/accounts/a/entries",
        "/credits/accounts/a/b",
        "/static/a/b/c",
        "/static/",
        "/é",
        "/credits/accounts/é",
    ),
)


def map_of(rule_class: type[Rule]) -> Map:
    rules = [rule_class(path, endpoint=path, methods=["GET"]) for path in RULES]
    return Map(rules, merge_slashes=False)


def matched(rules: Map, path: str, method: str) -> object:
    try:
        return rules.bind("").match(path, method)
    except HTTPException as error:
        return type(error)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("path", PATHS)
def test_a_path_leads_where_a_rule_of_werkzeug_s_leads_it(path: str, method: str) -> None:
    assert matched(map_of(MatchedRule), path, method) == matched(map_of(QuartRule), path, method)


def test_no_function_is_compiled_that_builds_urls() -> None:
    # Should Werkzeug call it otherwise one day, the override would spare nothing any more.
    assert "_compile_builder" in vars(Rule)
    with pytest.raises(LookupError, match="/credits/accounts"):
        map_of(MatchedRule).bind("").build("/credits/accounts")


def test_quart_makes_its_rules_of_the_class_that_the_application_names() -> None:
    app = Quart("test")
    app.url_rule_class = MatchedRule
    app.add_url_rule("/here", endpoint="here")
    (rule,) = (each for each in app.url_map.iter_rules() if each.endpoint == "here")
    assert isinstance(rule, MatchedRule)
