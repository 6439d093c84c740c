"""Every setting of the service, in one table.

The setting `NAME` is the environment variable `CREDIT_NAME`; the TOML file that `CREDIT_CONFIG_FILE` names
may hold the same variables. `python -m composition.commands.configuration_page` prints
`docs/configuration.md` from this table.

A new setting takes a field of `Settings` and a row of `TABLE`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from composition.config import parsers
from composition.config.parsers import Rate
from composition.config.sources import PREFIX, SourcedText
from domain.addresses import Network
from domain.identity.login_delay import DelayPolicy
from domain.identity.tokens import Fingerprint, SigningAlgorithm
from domain.limits.bans import BanPolicy
from domain.limits.windows import Algorithm

WORKER_TIMEOUT_MS_MIN = 2_000
"""Four heartbeats: a shorter silence may be a moment's work."""
FORGET_FAILURES_MS = 3_600_000
"""Wrong passwords are forgotten this long after the last one."""


class StoreName(Enum):
    """The place of all data: MongoDB and Redis, or the memory of this process."""

    LIVE = "live"
    MEMORY = "memory"


class MongoDriverName(Enum):
    PYMONGO = "pymongo"
    MOTOR = "motor"


class LogLevel(Enum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Checked values, one for each row of `TABLE`: times in `_ms`, sizes in `_bytes`."""

    mongo_url: str
    mongo_driver: MongoDriverName
    mongo_operation_timeout_ms: int
    mongo_pool_size: int
    redis_url: str
    redis_decision_timeout_ms: int
    secrets_dir: Path
    rate_limit_ip: Rate
    rate_limit_user: Rate
    rate_limit_api_key: Rate
    rate_limit_login: Rate
    rate_limit_register: Rate
    rate_limit_refresh: Rate
    rate_limit_password: Rate
    rate_limit_errors: Rate
    rate_limit_messages: Rate
    rate_limit_algorithm: Algorithm
    ban_threshold: int
    ban_base_ms: int
    ban_max_ms: int
    ban_half_life_ms: int
    ban_violations_ttl_ms: int
    ban_api_keys: bool
    trusted_proxies: tuple[Network, ...]
    allowlist: tuple[Network, ...]
    fingerprint: Fingerprint
    token_algorithm: SigningAlgorithm
    token_issuer: str
    token_audience: str
    session_idle_ttl_ms: int
    session_ttl_ms: int
    sessions_per_user: int
    login_delay_max_ms: int
    cors_origins: tuple[str, ...]
    websocket_origins: tuple[str, ...]
    max_body_bytes: int
    body_timeout_ms: int
    ledger_accounts_max: int
    shutdown_grace_ms: int
    probe_interval_ms: int
    audit_retention_ms: int | None
    reencryption_delay_ms: int
    runtime_dir: Path | None
    worker_timeout_ms: int
    log_dir: Path | None
    log_level: LogLevel
    metrics_token: str | None = field(repr=False)

    def ban_policy(self) -> BanPolicy:
        """The policy of bans. Raises `ValueError` when the durations contradict each other."""
        return BanPolicy(
            threshold=self.ban_threshold,
            base_ms=self.ban_base_ms,
            max_ms=self.ban_max_ms,
            half_life_ms=self.ban_half_life_ms,
            violations_ttl_ms=self.ban_violations_ttl_ms,
            bans_api_keys=self.ban_api_keys,
        )

    def login_delay_policy(self) -> DelayPolicy:
        """The delay of logins: free as often as one window admits, then its pace, doubling."""
        rate, max_ms = self.rate_limit_login, self.login_delay_max_ms
        base_ms = min(max(rate.period_ms // rate.limit, 1), max_ms)
        return DelayPolicy(
            free_failures=rate.limit,
            base_ms=base_ms,
            max_ms=max_ms,
            forget_ms=max(max_ms, FORGET_FAILURES_MS),
        )


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table. `field` is one of `Settings`; `default` is as an operator writes it."""

    name: str
    field: str
    default: str
    unit: str
    description: str
    parse: Callable[[str], Any]

    @property
    def variable(self) -> str:
        return PREFIX + self.name


DURATION, SIZE, RATE = "duration: ms, s, m, h, d", "size: B, KiB, MiB, GiB", "count/duration"

TABLE: tuple[Setting, ...] = (
    Setting("MONGO_URL", "mongo_url", "mongodb://127.0.0.1:27017/credit_system?replicaSet=rs0", "URL",
            "MongoDB replica set and database, without credentials; TLS by `tls=true&tlsCAFile=…`.",
            parsers.mongo_url),
    Setting("MONGO_DRIVER", "mongo_driver", "pymongo", "pymongo, motor",
            "Driver on asyncio and uvloop; on trio PyMongo runs in worker threads either way.",
            parsers.one_of(MongoDriverName)),
    Setting("MONGO_OPERATION_TIMEOUT", "mongo_operation_timeout_ms", "5s", DURATION,
            "Bound of one operation, the choice of a server and retries included.", parsers.duration_ms),
    Setting("MONGO_POOL_SIZE", "mongo_pool_size", "32", "connections",
            "Most connections a process keeps for each of its three database roles.", parsers.whole(1, 1000)),
    Setting("REDIS_URL", "redis_url", "redis://127.0.0.1:6379/0", "URL",
            "Redis, without a password; `rediss://name@host/0?ssl_ca_certs=…` is TLS and an ACL user, "
            "`rediss+cluster://name@host:port,host:port` some nodes of a Redis Cluster.",
            parsers.redis_url),
    Setting("REDIS_DECISION_TIMEOUT", "redis_decision_timeout_ms", "50ms", DURATION,
            "How long a request waits for the limiter before it is decided without it.", parsers.duration_ms),
    Setting("SECRETS_DIR", "secrets_dir", "secrets", "path", "Where the secret files lie.", parsers.path),
    Setting("RATE_LIMIT_IP", "rate_limit_ip", "100/60s", RATE,
            "Requests of one address (IPv6: of one /64).", parsers.rate),
    Setting("RATE_LIMIT_USER", "rate_limit_user", "1000/1h", RATE, "Requests of one user.", parsers.rate),
    Setting("RATE_LIMIT_API_KEY", "rate_limit_api_key", "60000/60s", RATE, "Requests of one API key.",
            parsers.rate),
    Setting("RATE_LIMIT_LOGIN", "rate_limit_login", "10/60s", RATE,
            "Logins of one address, and for one account name.", parsers.rate),
    Setting("RATE_LIMIT_REGISTER", "rate_limit_register", "5/60s", RATE,
            "Registrations of one address, and for one account name.", parsers.rate),
    Setting("RATE_LIMIT_REFRESH", "rate_limit_refresh", "30/60s", RATE,
            "Refreshed sessions of one address.", parsers.rate),
    Setting("RATE_LIMIT_PASSWORD", "rate_limit_password", "5/60s", RATE,
            "Changes of a password, tried by one address, and by one user.", parsers.rate),
    Setting("RATE_LIMIT_ERRORS", "rate_limit_errors", "30/60s", RATE,
            "Anonymous requests of one address that are answered 400 or 401; each one above is a violation.",
            parsers.rate),
    Setting("RATE_LIMIT_MESSAGES", "rate_limit_messages", "600/60s", RATE,
            "WebSocket messages of one user, over all connections.", parsers.rate),
    Setting("RATE_LIMIT_ALGORITHM", "rate_limit_algorithm", "sliding-window",
            "fixed-window, sliding-window, gcra", "How a window is counted.", parsers.one_of(Algorithm)),
    Setting("BAN_THRESHOLD", "ban_threshold", "5", "violations",
            "So many violations are answered 429; the next one bans.", parsers.whole(0, 10_000)),
    Setting("BAN_BASE", "ban_base_ms", "60s", DURATION, "The first ban; each further one doubles.",
            parsers.duration_ms),
    Setting("BAN_MAX", "ban_max_ms", "24h", DURATION, "The longest ban.", parsers.duration_ms),
    Setting("BAN_HALF_LIFE", "ban_half_life_ms", "24h", DURATION,
            "After a ban's end, each such time without another lowers the level by one.",
            parsers.duration_ms),
    Setting("BAN_VIOLATIONS_TTL", "ban_violations_ttl_ms", "1h", DURATION,
            "Violations are forgotten after so long without one.", parsers.duration_ms),
    Setting("BAN_API_KEYS", "ban_api_keys", "false", "true, false",
            "Whether API keys that keep going over their limit are banned as others are; else they are only "
            "refused.", parsers.truth),
    Setting("TRUSTED_PROXIES", "trusted_proxies", "", "networks, comma-separated",
            "Proxies whose `X-Forwarded-For` and `Forwarded` are trusted; see [addresses](addresses.md).",
            parsers.networks),
    Setting("ALLOWLIST", "allowlist", "", "networks, comma-separated",
            "Addresses that are never counted; see [addresses](addresses.md).", parsers.networks),
    Setting("FINGERPRINT", "fingerprint", "enforce", "off, observe, enforce",
            "Whether a token from another device is accepted, audited or refused.",
            parsers.one_of(Fingerprint)),
    Setting("TOKEN_ALGORITHM", "token_algorithm", "HS256", "HS256, EdDSA",
            "The algorithm of access tokens. EdDSA (Ed25519) costs more and lets others check them by "
            "`/.well-known/jwks.json`.", parsers.one_of(SigningAlgorithm)),
    Setting("TOKEN_ISSUER", "token_issuer", "credit-system", "name", "`iss` of every token.", parsers.word),
    Setting("TOKEN_AUDIENCE", "token_audience", "credit-system", "name", "`aud` of every token.",
            parsers.word),
    Setting("SESSION_IDLE_TTL", "session_idle_ttl_ms", "14d", DURATION,
            "A session that is not refreshed for so long has ended.", parsers.duration_ms),
    Setting("SESSION_TTL", "session_ttl_ms", "90d", DURATION, "A session ends after so long in any case.",
            parsers.duration_ms),
    Setting("SESSIONS_PER_USER", "sessions_per_user", "20", "sessions",
            "Sessions of one user that live at once; one more ends the oldest.", parsers.whole(1, 1000)),
    Setting("LOGIN_DELAY_MAX", "login_delay_max_ms", "15m", DURATION,
            "The longest that wrong passwords delay an account name; devices that it knows never wait.",
            parsers.duration_ms),
    Setting("CORS_ORIGINS", "cors_origins", "", "origins, comma-separated",
            "Web pages that may call the HTTP routes.", parsers.origins),
    Setting("WEBSOCKET_ORIGINS", "websocket_origins", "", "origins, comma-separated",
            "Web pages, besides those of the same origin, that may open a WebSocket.", parsers.origins),
    Setting("MAX_BODY", "max_body_bytes", "1MiB", SIZE,
            "Largest request body; a batch of transfers may have 8MiB.", parsers.size_bytes),
    Setting("BODY_TIMEOUT", "body_timeout_ms", "10s", DURATION, "How long a client may take to send a body.",
            parsers.duration_ms),
    Setting("LEDGER_ACCOUNTS_MAX", "ledger_accounts_max", "200000", "accounts",
            "Accounts of one book that a process keeps in memory.", parsers.whole(100, 100_000_000)),
    Setting("SHUTDOWN_GRACE", "shutdown_grace_ms", "10s", DURATION,
            "How long requests in flight may take to finish once the service is asked to stop.",
            parsers.duration_ms),
    Setting("PROBE_INTERVAL", "probe_interval_ms", "5s", DURATION,
            "How often dependencies are probed for the metrics.", parsers.duration_ms),
    Setting("AUDIT_RETENTION", "audit_retention_ms", "", DURATION,
            "How long events of the audit log are kept, such as 400d; for ever when empty. The journal is"
            " never cut.", parsers.optional_duration_ms),
    Setting("REENCRYPTION_DELAY", "reencryption_delay_ms", "10m", DURATION,
            "How long after its start a worker begins to encrypt stored values anew: time to replace workers"
            " of an earlier release, which may not read them.", parsers.duration_ms),
    Setting("RUNTIME_DIR", "runtime_dir", "", "path",
            "Where several workers make the private directory in which they meet; where temporary files go"
            " when empty.", parsers.optional_path),
    Setting("WORKER_TIMEOUT", "worker_timeout_ms", "5s", DURATION,
            "One of several workers that does not answer its supervisor for so long is killed and replaced;"
            " at least 2s.", parsers.duration_ms),
    Setting("LOG_DIR", "log_dir", "", "path",
            "Where server.log, game_play.log and function.log are written; nowhere when empty.",
            parsers.optional_path),
    Setting("LOG_LEVEL", "log_level", "info", "debug, info, warning, error", "The least that is logged.",
            parsers.one_of(LogLevel)),
    Setting("METRICS_TOKEN", "metrics_token", "", "text",
            "Bearer token that `/metrics` asks for; open to all when empty.", parsers.optional_token),
)  # fmt: skip


def settings_of(texts: Mapping[str, SourcedText], problems: list[str]) -> Settings:
    """The settings in force. Appends each problem to `problems`; the default replaces a wrong value."""
    values = {setting.field: _value(setting, texts.get(setting.variable), problems) for setting in TABLE}
    settings = Settings(**values)
    problems.extend(_contradictions(settings))
    return settings


def _value(setting: Setting, sourced: SourcedText | None, problems: list[str]) -> Any:
    if sourced is not None:
        try:
            return setting.parse(sourced.text.strip())
        except ValueError as error:
            # The reason alone: the text may be a token, or a URL that holds a password.
            problems.append(f"{setting.variable} ({sourced.source}): {error}")
    return setting.parse(setting.default)


def _contradictions(settings: Settings) -> list[str]:
    problems = []
    try:
        settings.ban_policy()
    except ValueError as error:
        problems.append(f"CREDIT_BAN_BASE, CREDIT_BAN_MAX, CREDIT_BAN_HALF_LIFE: {error}")
    if settings.worker_timeout_ms < WORKER_TIMEOUT_MS_MIN:
        problems.append("CREDIT_WORKER_TIMEOUT is less than 2s")
    if settings.session_idle_ttl_ms > settings.session_ttl_ms:
        problems.append("CREDIT_SESSION_IDLE_TTL is longer than CREDIT_SESSION_TTL")
    return problems
