from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from composition import logging as service_logging
from composition.logging import REDACTED, configure_logging, redacted


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """What the test runner has set up for logging comes back, and files are closed."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    root.handlers.clear()
    yield
    for name in {name for loggers in service_logging.FILES.values() for name in loggers}:
        logger = logging.getLogger(name)
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
            handler.close()
    logging.captureWarnings(False)
    root.handlers[:], root.level = handlers, level


TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1c3IifQ.c2lnbmF0dXJlLW9mLWl0"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"presented {TOKEN}", TOKEN),
        ("Authorization: Bearer abcdef123456", "abcdef123456"),
        ("key ck_0123456789abcdefghij used", "ck_0123456789abcdefghij"),
        ("mongodb://app:hunter2hunter2@host/db", "hunter2hunter2"),
        ("redis_password=hunter2hunter2", "hunter2hunter2"),
        ('{"password": "hunter2hunter2"}', "hunter2hunter2"),
        ("refresh_token='hunter2hunter2'", "hunter2hunter2"),
        ("jwt_secret: hunter2hunter2", "hunter2hunter2"),
    ],
)
def test_what_looks_like_a_secret_is_not_written(text: str, secret: str) -> None:
    assert secret not in redacted(text)
    assert REDACTED in redacted(text)


@pytest.mark.parametrize("text", ["transfer trf_01 posted", "the token has expired", "GET /auth/login 200"])
def test_other_text_is_written_as_it_is(text: str) -> None:
    assert redacted(text) == text


def test_a_line_is_json_with_the_fields_of_the_call() -> None:
    stream = io.StringIO()
    configure_logging(level="info", directory=None, stream=stream)
    logging.getLogger("credit.sample").info(
        "transfer %s", "posted", extra={"request_id": "r-1", "seq": 7, "api_key": "ck_x", "who": f"a {TOKEN}"}
    )
    line = json.loads(stream.getvalue())
    assert line["message"] == "transfer posted"
    assert (line["level"], line["logger"], line["request_id"]) == ("info", "credit.sample", "r-1")
    assert (line["seq"], line["api_key"], line["who"]) == (7, REDACTED, f"a {REDACTED}")
    assert line["time"].endswith("Z")


def test_an_exception_is_written_without_its_secret() -> None:
    stream = io.StringIO()
    configure_logging(level="info", directory=None, stream=stream)
    try:
        raise RuntimeError("password=hunter2hunter2")
    except RuntimeError:
        logging.getLogger("credit.sample").exception("failed")
    line = json.loads(stream.getvalue())
    assert "RuntimeError" in line["exception"]
    assert "hunter2hunter2" not in stream.getvalue()


def test_a_line_break_in_a_message_starts_no_new_line() -> None:
    stream = io.StringIO()
    configure_logging(level="info", directory=None, stream=stream)
    logging.getLogger("credit.sample").info("one\ntwo")
    assert len(stream.getvalue().splitlines()) == 1


def test_a_terminal_gets_keys_and_values() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    configure_logging(level="info", directory=None, stream=stream)
    logging.getLogger("credit.sample").info("posted", extra={"seq": 7})
    assert "posted logger=credit.sample seq=7" in stream.getvalue()


def test_files_hold_what_their_loggers_say(tmp_path: Path) -> None:
    configure_logging(level="info", directory=tmp_path / "logs", stream=io.StringIO())
    logging.getLogger("credit.sample").info("server")
    logging.getLogger("credit.ledger").info("game")
    logging.getLogger("application.sample").info("function")
    written = {path.name: path.read_text() for path in (tmp_path / "logs").iterdir()}
    assert all(word in written["server.log"] for word in ("server", "game", "function"))
    assert "game" in written["game_play.log"]
    assert "function" in written["function.log"]
    assert "server" not in written["function.log"]


def test_each_worker_has_files_of_its_own(tmp_path: Path) -> None:
    configure_logging(level="info", directory=tmp_path, worker=2, stream=io.StringIO())
    logging.getLogger("credit.sample").info("server")
    assert [path.name for path in tmp_path.iterdir()] == ["server.2.log"]


def test_drivers_are_quiet() -> None:
    stream = io.StringIO()
    configure_logging(level="debug", directory=None, stream=stream)
    logging.getLogger("pymongo.command").debug("saslStart")
    logging.getLogger("hypercorn.error").info("Running on …")
    assert stream.getvalue() == ""
