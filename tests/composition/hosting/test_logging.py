"""What is written where, and what is never written."""

from __future__ import annotations

import io
import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from application.call_log import traced
from composition.hosting import log_file
from composition.hosting.logging import DETAIL_FILES, REDACTED, configure_logging, redacted


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """What the test runner has set up for logging comes back, and files are closed."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    root.handlers.clear()
    yield
    for name in (None, *DETAIL_FILES):
        logger = logging.getLogger(name)
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
            handler.close()
        logger.setLevel(logging.NOTSET)
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


def written(directory: Path) -> dict[str, list[str]]:
    """The messages of each file, in order."""
    return {
        path.name: [json.loads(line)["message"] for line in path.read_text().splitlines()]
        for path in directory.iterdir()
    }


@pytest.mark.parametrize(
    ("level", "of_server"),
    [
        (
            "debug",
            ["service-debug", "service-info", "user-debug", "user-warning", "call-debug", "call-error"],
        ),
        ("info", ["service-info", "user-warning", "call-error"]),
        ("error", ["call-error"]),
    ],
)
def test_the_level_holds_for_the_console_and_the_server_file_and_details_are_whole(
    tmp_path: Path, level: str, of_server: list[str]
) -> None:
    stream = io.StringIO()
    configure_logging(level=level, directory=tmp_path / "logs", stream=stream)
    for logger, said in (
        ("credit.service", ["service-debug", "service-info"]),
        ("plugins.main.happenings", ["user-debug", "user-warning"]),
        ("application.identity.sessions", ["call-debug", "call-error"]),
    ):
        for message in said:
            grade = logging.getLevelNamesMapping()[message.rpartition("-")[2].upper()]
            logging.getLogger(logger).log(grade, message)
    assert written(tmp_path / "logs") == {
        "server.log": of_server,
        "game_play.log": ["user-debug", "user-warning"],
        "function.log": ["call-debug", "call-error"],
    }
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == of_server


def test_without_a_directory_nothing_is_written_and_no_detail_is_enabled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # What an earlier set-up opened does not stay open for a later one.
    configure_logging(level="info", directory=tmp_path / "before", stream=io.StringIO())
    stream = io.StringIO()
    configure_logging(level="info", directory=None, stream=stream)
    for family in DETAIL_FILES:
        logger = logging.getLogger(f"{family}.sample")
        assert not logger.isEnabledFor(logging.DEBUG)
        logger.debug("a detail")
        logger.info("a line")
    assert [path.name for path in tmp_path.rglob("*")] == ["before"]
    assert "a detail" not in stream.getvalue()


def test_a_traced_call_lands_in_the_function_file_alone(tmp_path: Path) -> None:
    async def answer(word: str) -> str:
        return word

    answer.__module__ = "application.sample"
    stream = io.StringIO()
    configure_logging(level="info", directory=tmp_path, stream=stream)
    with pytest.raises(StopIteration):
        traced(answer)("argument-1").send(None)
    assert [path.name for path in tmp_path.iterdir()] == ["function.log"]
    (line,) = (tmp_path / "function.log").read_text().splitlines()
    assert json.loads(line)["outcome"] == "str"
    assert "argument-1" not in line
    assert stream.getvalue() == ""


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


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_log_that_was_removed_is_there_again(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_file, "CHECK_INTERVAL_S", 0.0)
    directory = tmp_path / "logs"
    configure_logging(level="info", directory=directory, stream=io.StringIO())
    logging.getLogger("test").info("first")
    if what == "file":
        (directory / "server.log").rename(directory / "moved")
    else:
        shutil.rmtree(directory)
    logging.getLogger("test").info("second")
    assert json.loads((directory / "server.log").read_text())["message"] == "second"


@pytest.mark.parametrize("when", ["from the start", "later"])
def test_a_log_that_cannot_be_written_stops_nobody_and_is_told_once(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(log_file, "CHECK_INTERVAL_S", 0.0)
    directory = tmp_path / "logs"
    if when == "from the start":
        directory.write_text("no folder")
    configure_logging(level="info", directory=directory, stream=io.StringIO())
    if when == "later":
        directory.rmdir()
        directory.write_text("no folder")
    for _ in range(3):
        logging.getLogger("test").info("lost")
    assert capsys.readouterr().err.count("server.log is not written") == 1
    directory.unlink()
    logging.getLogger("test").info("found")
    assert json.loads((directory / "server.log").read_text())["message"] == "found"
