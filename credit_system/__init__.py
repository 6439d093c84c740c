"""The public face of the service: all that a plugin may import, re-exported from where it is made.

A plugin outside of this repository imports this module and nothing else of the service. What stands in
`__all__` keeps its name and meaning within a major version; `docs/public-api.md` lists it, and a name that
comes or goes stands in the CHANGELOG.
"""

from __future__ import annotations

from adapters.asgi.credential_verifier import NO_DEVICE, OTHER_DEVICE
from adapters.asgi.problems import (
    BAD_DEVICE,
    FORBIDDEN,
    NOT_AUTHENTICATED,
    NOT_FOUND,
    Headers,
    Problem,
)
from adapters.asgi.rate_limits import limit_refusal, quota_exceeded
from adapters.asgi.request_head import DEVICE_COOKIE
from adapters.web.fields import (
    METADATA_BYTES_MAX,
    AccountReference,
    Amount,
    AssetCode,
    Body,
    Cursor,
    Identifier,
    ListLimit,
    ListQuery,
    Metadata,
    Moment,
    StoredMetadata,
    Time,
    TransferCode,
    check_metadata,
    cursor_form,
    milliseconds,
    rfc3339,
    told_as,
)
from adapters.web.route import Answer, Call, Handler, Route, Shape
from application.documents.service import DocumentService, Page
from application.idempotency import Idempotency
from application.identity.api_keys import ApiKeyService
from application.identity.sessions import SessionService
from application.identity.tokens import TokenService
from application.identity.users import UserService
from application.ledger.announcer import LEDGER_COMMITTED
from application.ledger.committed import CommittedBatch
from application.ledger.history import AccountEntry, PastState
from application.ledger.orders import AccountOrder, Caller, GrantOrder, HoldOrder, RuleOrder, TransferOrder
from application.ledger.reservation import Reservation, ReservationRefused
from application.ledger.service import GrantView, Ledger, Trial
from application.limits.rate_limiter import RateLimiter
from application.realtime.switchboard import Realtime
from application.recurring import Recurring
from domain.audit import SYSTEM, RequestContext
from domain.documents.document import Collection, DatabaseRole, Document, DocumentRejection, FieldKind
from domain.documents.queries import Equals, Query, Range
from domain.encryption.policies import Encrypted, EncryptionAlgorithm
from domain.identity.access import (
    ADMIN,
    AUDIT,
    PUBLIC,
    USER,
    Permission,
    Principal,
    PrincipalKind,
    any_scope,
    scope_or_owner,
)
from domain.identity.api_keys import DEFAULT_BOOK, Scope
from domain.identity.sessions import Session
from domain.identity.users import Role, User
from domain.ids import is_id, is_time_ordered_id, time_ordered_form, time_ordered_id
from domain.ledger.account import (
    AMOUNT_MAX,
    EXPIRED,
    ISSUANCE,
    REVENUE,
    Account,
    AccountState,
    account_key,
    is_system,
)
from domain.ledger.chain import JournalDocument
from domain.ledger.entries import (
    AccountOpened,
    Capture,
    Entry,
    GrantEnded,
    GrantScheduled,
    HoldPlaced,
    HoldReleased,
    Issue,
    Lapse,
    Recorded,
    Refused,
    Reversal,
    RuleRemoved,
    RuleSet,
    RuleSkipped,
    TransferPosted,
)
from domain.ledger.lots import GrantTerms, Lot
from domain.ledger.outcomes import Outcome, Posted, Rejected, Rejection
from domain.realtime.messages import BalancePush, DirectPush, LowBalancePush
from plugins.connection_api import CONNECTION_API, ConnectionAPI
from plugins.idempotency import Remember, once
from plugins.plugin import HOOK_PRIORITY_DEFAULT, SERVICE_STARTED, HookCallback, Plugin, PluginContext
from plugins.version import service_version
from ports.clock import Clock
from ports.entropy import Entropy
from ports.errors import DependencyUnavailable, OutcomeUnknown
from ports.metrics import Instrument, Merge, Metric, MetricKind
from ports.runtime import DeadlineExceeded, Event, Overloaded, Runtime, Task

__all__ = [
    "ADMIN",
    "AMOUNT_MAX",
    "AUDIT",
    "BAD_DEVICE",
    "CONNECTION_API",
    "DEFAULT_BOOK",
    "DEVICE_COOKIE",
    "EXPIRED",
    "FORBIDDEN",
    "HOOK_PRIORITY_DEFAULT",
    "ISSUANCE",
    "LEDGER_COMMITTED",
    "METADATA_BYTES_MAX",
    "NOT_AUTHENTICATED",
    "NOT_FOUND",
    "NO_DEVICE",
    "OTHER_DEVICE",
    "PUBLIC",
    "REVENUE",
    "SERVICE_STARTED",
    "SYSTEM",
    "USER",
    "Account",
    "AccountEntry",
    "AccountOpened",
    "AccountOrder",
    "AccountReference",
    "AccountState",
    "Amount",
    "Answer",
    "ApiKeyService",
    "AssetCode",
    "BalancePush",
    "Body",
    "Call",
    "Caller",
    "Capture",
    "Clock",
    "Collection",
    "CommittedBatch",
    "ConnectionAPI",
    "Cursor",
    "DatabaseRole",
    "DeadlineExceeded",
    "DependencyUnavailable",
    "DirectPush",
    "Document",
    "DocumentRejection",
    "DocumentService",
    "Encrypted",
    "EncryptionAlgorithm",
    "Entropy",
    "Entry",
    "Equals",
    "Event",
    "FieldKind",
    "GrantEnded",
    "GrantOrder",
    "GrantScheduled",
    "GrantTerms",
    "GrantView",
    "Handler",
    "Headers",
    "HoldOrder",
    "HoldPlaced",
    "HoldReleased",
    "HookCallback",
    "Idempotency",
    "Identifier",
    "Instrument",
    "Issue",
    "JournalDocument",
    "Lapse",
    "Ledger",
    "ListLimit",
    "ListQuery",
    "Lot",
    "LowBalancePush",
    "Merge",
    "Metadata",
    "Metric",
    "MetricKind",
    "Moment",
    "Outcome",
    "OutcomeUnknown",
    "Overloaded",
    "Page",
    "PastState",
    "Permission",
    "Plugin",
    "PluginContext",
    "Posted",
    "Principal",
    "PrincipalKind",
    "Problem",
    "Query",
    "Range",
    "RateLimiter",
    "Realtime",
    "Recorded",
    "Recurring",
    "Refused",
    "Rejected",
    "Rejection",
    "Remember",
    "RequestContext",
    "Reservation",
    "ReservationRefused",
    "Reversal",
    "Role",
    "Route",
    "RuleOrder",
    "RuleRemoved",
    "RuleSet",
    "RuleSkipped",
    "Runtime",
    "Scope",
    "Session",
    "SessionService",
    "Shape",
    "StoredMetadata",
    "Task",
    "Time",
    "TokenService",
    "TransferCode",
    "TransferOrder",
    "TransferPosted",
    "Trial",
    "User",
    "UserService",
    "account_key",
    "any_scope",
    "check_metadata",
    "cursor_form",
    "is_id",
    "is_system",
    "is_time_ordered_id",
    "limit_refusal",
    "milliseconds",
    "once",
    "quota_exceeded",
    "rfc3339",
    "scope_or_owner",
    "service_version",
    "time_ordered_form",
    "time_ordered_id",
    "told_as",
]
