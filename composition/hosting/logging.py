"""Structured logs: JSON lines, or `key=value` on a terminal, and never a token, a key or a password."""

from __future__ import annotations

import json
import logging
import re
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from composition.hosting.log_file import LogFile

TEXT_CHARACTERS_MAX = 16_384
REDACTED = "[redacted]"

SERVER_FILE = "server.log"
"""The file of all lines at the configured level."""
DETAIL_FILES = {
    # By the logger whose lines, and whose descendants' lines, a file holds from DEBUG up: events of users and
    # credits (plugins), and calls of use cases (`application.call_log.traced`).
    "plugins": "game_play.log",
    "application": "function.log",
}
QUIET = ("pymongo", "motor", "hypercorn", "uvicorn", "granian", "_granian", "asyncio", "quart", "urllib3")

_OWN_FIELDS = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_SECRET_NAMES = re.compile(
    r"passw|secret|token|authori[sz]ation|cookie|api_?key|private_?key|credential", re.IGNORECASE
)
_SECRET_TEXTS = (
    (re.compile(r"\beyJ[\w-]{6,}\.[\w-]{6,}\.[\w-]*"), REDACTED),
    (re.compile(r"\b(?:ck|rt|wt)_[\w-]{12,}"), REDACTED),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), rf"\1 {REDACTED}"),
    (re.compile(r"(\w+://[^\s/:@]*):[^\s/@]+@"), rf"\1:{REDACTED}@"),
    (
        re.compile(r"""(?i)\b(\w*(?:password|passwd|secret|token|api_?key|encryption_key)["']?\s*[=:]\s*)["']?[^\s"',;&}]+"""),
        rf"\1{REDACTED}",
    ),
)  # fmt: skip


def redacted(text: str) -> str:
    """A text without tokens, keys and passwords, as far as their forms show, and of bounded length."""
    if len(text) > TEXT_CHARACTERS_MAX:
        text = text[:TEXT_CHARACTERS_MAX] + "…"
    for pattern, replacement in _SECRET_TEXTS:
        text = pattern.sub(replacement, text)
    return text


def record_fields(record: logging.LogRecord) -> dict[str, Any]:
    """The fields of a record, in the order of their output."""
    moment = datetime.fromtimestamp(record.created, UTC)
    fields: dict[str, Any] = {
        "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": redacted(record.getMessage()),
    }
    for name, value in record.__dict__.items():
        if name not in _OWN_FIELDS and not name.startswith("_"):
            fields[name] = _field(name, value)
    if record.exc_info:
        fields["exception"] = redacted(logging.Formatter().formatException(record.exc_info))
    return fields


def _field(name: str, value: object) -> object:
    if _SECRET_NAMES.search(name):
        return REDACTED
    if value is None or isinstance(value, bool | int | float):
        return value
    return redacted(str(value))


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(record_fields(record), ensure_ascii=False)


class TerminalFormatter(logging.Formatter):
    """Time, level, message, then `key=value`. A traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        fields = record_fields(record)
        exception = fields.pop("exception", None)
        head = f"{fields.pop('time')[11:]} {fields.pop('level'):<7} {fields.pop('message')}"
        rest = "".join(f" {name}={value}" for name, value in fields.items())
        return head + rest + (f"\n{exception}" if exception else "")


def configure_logging(
    *, level: str, directory: Path | None, worker: int = 0, stream: TextIO | None = None
) -> None:
    """Sets up the root logger of this process. An unwritable directory stops no process (`LogFile`).

    Each worker writes files of its own, since a rotation by one would cut off the others. Without a
    directory, detailed lines are disabled like all below `level`, and cost nothing.
    """
    chosen = level.upper()
    stream = stream if stream is not None else sys.stderr
    on_terminal = stream.isatty()
    console = logging.StreamHandler(stream)
    # The level of a handler, not that of the root logger, holds back a record of a detail logger.
    console.setLevel(chosen)
    console.setFormatter(TerminalFormatter() if on_terminal else JsonFormatter())
    logging.basicConfig(level=chosen, handlers=[console], force=True)
    logging.captureWarnings(True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    if directory is not None:
        # Where that fails, the handlers of the files report it and try again: a log stops no worker.
        with suppress(OSError):
            directory.mkdir(parents=True, exist_ok=True)
        logging.getLogger().addHandler(_file_handler(directory / _file_name(SERVER_FILE, worker), chosen))
    for logger_name, file in DETAIL_FILES.items():
        logger = logging.getLogger(logger_name)
        _close_handlers(logger)
        logger.setLevel(logging.NOTSET if directory is None else logging.DEBUG)
        if directory is not None:
            logger.addHandler(_file_handler(directory / _file_name(file, worker), logging.DEBUG))


def _close_handlers(logger: logging.Logger) -> None:
    """Does what `basicConfig(force=True)` does for the root logger: a second set-up repeats no line."""
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()


def _file_name(name: str, worker: int) -> str:
    stem, _, suffix = name.partition(".")
    return f"{stem}.{worker}.{suffix}" if worker else name


def _file_handler(path: Path, level: int | str) -> logging.Handler:
    handler = LogFile(path)
    handler.setLevel(level)
    handler.setFormatter(JsonFormatter())
    return handler
