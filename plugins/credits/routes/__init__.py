"""The routes under `/credits`, by what they are about."""

from __future__ import annotations

from credit_system import Route
from plugins.credits.routes.accounts import AccountRoutes
from plugins.credits.routes.explain import ExplainRoutes
from plugins.credits.routes.grants import GrantRoutes
from plugins.credits.routes.holds import HoldRoutes
from plugins.credits.routes.ledger import LedgerRoutes
from plugins.credits.routes.rules import RuleRoutes
from plugins.credits.routes.support import CreditRouteSupport
from plugins.credits.routes.transfers import TransferRoutes


def credit_routes(support: CreditRouteSupport) -> list[Route]:
    """All of them."""
    return [
        *AccountRoutes(support).routes(),
        *ExplainRoutes(support).routes(),
        *GrantRoutes(support).routes(),
        *TransferRoutes(support).routes(),
        *HoldRoutes(support).routes(),
        *RuleRoutes(support).routes(),
        *LedgerRoutes(support).routes(),
    ]
