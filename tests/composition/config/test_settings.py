from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path

import pytest

from composition.commands.configuration_page import page
from composition.config import parsers
from composition.config.load import KNOWN, Configuration, collect
from composition.config.secrets import FILES
from composition.config.settings import TABLE, MongoDriverName, Settings
from composition.config.sources import INJECTED

ROOT = Path(__file__).parents[3]


def load(environ: dict[str, str]) -> tuple[Settings, list[str]]:
    configuration, problems = collect_all(environ)
    return configuration.settings, problems


def collect_all(environ: dict[str, str]) -> tuple[Configuration, list[str]]:
    problems: list[str] = []
    return collect(environ, problems), problems


def test_nothing_given_means_the_defaults_of_the_contract() -> None:
    settings, problems = load({})
    assert problems == []
    assert settings.rate_limit_ip == parsers.Rate(100, 60_000)
    assert settings.rate_limit_user == parsers.Rate(1000, 3_600_000)
    assert (settings.ban_threshold, settings.ban_base_ms, settings.ban_max_ms) == (5, 60_000, 86_400_000)
    assert settings.max_body_bytes == 1 << 20
    assert settings.mongo_driver is MongoDriverName.PYMONGO


def test_the_table_and_the_settings_name_the_same_fields() -> None:
    assert sorted(setting.field for setting in TABLE) == sorted(field.name for field in fields(Settings))
    assert len({setting.name for setting in TABLE}) == len(TABLE)


def test_the_documented_page_is_the_table() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == page()


def test_all_problems_are_listed_at_once() -> None:
    _, problems = load(
        {
            "CREDIT_BAN_BASE": "forever",
            "CREDIT_MAX_BODY": "1MB",
            "CREDIT_RATE_LIMIT_IP": "100",
            "CREDIT_TRUSTED_PROXIES": "10.0.0.0/8, nowhere",
            "CREDIT_RATE_LIMT_USER": "1/1s",
        }
    )
    assert len(problems) == 5
    for name in ("BAN_BASE", "MAX_BODY", "RATE_LIMIT_IP", "TRUSTED_PROXIES", "RATE_LIMT_USER"):
        assert any(problem.startswith(f"CREDIT_{name} ") for problem in problems)


def test_an_unknown_name_is_a_problem_that_names_the_nearest() -> None:
    _, problems = load({"CREDIT_RATE_LIMT_USER": "1/1s"})
    assert problems == [
        "CREDIT_RATE_LIMT_USER (environment): no such setting; is CREDIT_RATE_LIMIT_USER meant?"
    ]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CREDIT_MONGO_ULR", "CREDIT_MONGO_URL"),
        ("CREDIT_MONGODB_URL", "CREDIT_MONGO_URL"),
        ("CREDIT_MONGO_URI", "CREDIT_MONGO_URL"),
        ("CREDIT_REDIS_URLS", "CREDIT_REDIS_URL"),
        ("CREDIT_RATELIMIT_IP", "CREDIT_RATE_LIMIT_IP"),
        ("CREDIT_MAX_BODY_SIZE", "CREDIT_MAX_BODY"),
        ("CREDIT_SECRETS_DIRECTORY", "CREDIT_SECRETS_DIR"),
        ("CREDIT_TRUSTED_PROXY", "CREDIT_TRUSTED_PROXIES"),
        ("CREDIT_REDIS_PASSWORD", "CREDIT_REDIS_PASSWORD_FILE"),
        ("CREDIT_CONFIGFILE", "CREDIT_CONFIG_FILE"),
        ("CREDIT_Mongo_Url", "CREDIT_MONGO_URL"),
    ],
)
def test_a_near_miss_of_a_name_is_a_problem(name: str, meant: str) -> None:
    _, problems = load({name: "x"})
    assert problems == [f"{name} (environment): no such setting; is {meant} meant?"]


SERVICES = (
    "CREDIT",
    "CREDIT_MONGO",
    "CREDIT_REDIS",
    "CREDIT_SYSTEM",
    "CREDIT_LOG",
    "CREDIT_METRICS",
    "CREDIT_BAN",
)
INJECTED_FOR_A_SERVICE = (
    *("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "SERVICE_PORT_REDIS_TLS", "PORT", "PORT_5000_TCP"),
    *(
        "PORT_5000_TCP_PROTO",
        "PORT_5000_TCP_PORT",
        "PORT_5000_TCP_ADDR",
        "PORT_27017_TCP",
        "PORT_53_UDP_ADDR",
    ),
    *("NAME", "ENV_PYTHON_VERSION", "ENV_MONGO_URL", "PORT_5000_TCP_START", "PORT_5000_TCP_PORT_END"),
)


@pytest.mark.parametrize("service", SERVICES)
def test_what_orchestrators_put_there_for_a_service_is_not_even_mentioned(service: str) -> None:
    configuration, problems = collect_all(
        {f"{service}_{name}": "tcp://10.0.0.7:5000" for name in INJECTED_FOR_A_SERVICE}
    )
    assert problems == []
    assert configuration.ignored == ()


def test_no_name_of_ours_is_one_that_orchestrators_use() -> None:
    assert [name for name in KNOWN if INJECTED.fullmatch(name)] == []


def test_a_name_that_is_like_none_of_ours_is_ignored_and_told_of() -> None:
    names = (
        "CREDIT_API_KEY",
        "CREDIT_CARD_PROVIDER",
        "CREDIT_DEBUG",
        "CREDIT_ENV",
        "CREDIT_URL",
        "CREDIT_VERSION",
    )
    configuration, problems = collect_all(dict.fromkeys(names, "x"))
    assert problems == []
    assert configuration.ignored == names
    assert all(name in configuration.summary() for name in names)


def test_a_file_holds_only_names_that_are_known(tmp_path: Path) -> None:
    file = tmp_path / "credit.toml"
    file.write_text('CREDIT_PORT = "x"\nCREDIT_MONGO_ULR = "x"\nCREDIT_CONFIG_FILE = "x"\n')
    _, problems = load({"CREDIT_CONFIG_FILE": str(file)})
    assert problems == [
        f"CREDIT_PORT ({file}): no such setting",
        f"CREDIT_MONGO_ULR ({file}): no such setting; is CREDIT_MONGO_URL meant?",
        f"CREDIT_CONFIG_FILE ({file}): only the environment names the file",
    ]


def test_a_named_pipe_in_the_files_place_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    _, problems = load({"CREDIT_CONFIG_FILE": str(tmp_path / "pipe")})
    assert problems == [f"CREDIT_CONFIG_FILE: {tmp_path}/pipe: not a regular file"]


def test_names_without_the_prefix_and_of_secret_files_are_no_problem() -> None:
    _, problems = load(
        {"HOME": "/", "CREDIT_JWT_SECRET_FILE": "/run/secrets/jwt", "REDIS_PASSWORD_FILE": "x"}
    )
    assert problems == []


def test_a_configuration_file_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    file = tmp_path / "credit.toml"
    file.write_text(
        'CREDIT_BAN_THRESHOLD = 7\nCREDIT_BAN_BASE = "30s"\nCREDIT_ALLOWLIST = ["::1", "10.0.0.0/8"]\n'
    )
    settings, problems = load({"CREDIT_CONFIG_FILE": str(file), "CREDIT_BAN_BASE": "10s"})
    assert problems == []
    assert (settings.ban_threshold, settings.ban_base_ms, len(settings.allowlist)) == (7, 10_000, 2)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"CREDIT_BAN_THRESHOLD =", "Invalid value"),
        (b"\xff", "utf-8"),
        (b"CREDIT_BAN_THRESHOLD = 1.5", "CREDIT_BAN_THRESHOLD"),
        (b"CREDIT_BAN_THRESHOLD = true", "CREDIT_BAN_THRESHOLD"),
        (b"ban_threshold = 5", "no such setting"),
        (b'[limits]\nip = "1/1s"', "limits"),
    ],
)
def test_a_bad_configuration_file_is_a_problem(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "credit.toml"
    file.write_bytes(content)
    _, problems = load({"CREDIT_CONFIG_FILE": str(file)})
    assert len(problems) == 1
    assert said in problems[0]


def test_a_missing_configuration_file_is_a_problem(tmp_path: Path) -> None:
    _, problems = load({"CREDIT_CONFIG_FILE": str(tmp_path / "none.toml")})
    assert problems == [f"CREDIT_CONFIG_FILE: {tmp_path}/none.toml: No such file or directory"]


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("50ms", 50), ("60s", 60_000), ("5m", 300_000), ("1h", 3_600_000), ("2d", 172_800_000)],
)
def test_durations(text: str, milliseconds: int) -> None:
    assert parsers.duration_ms(text) == milliseconds


@pytest.mark.parametrize(
    "text", ["", "60", "s", "1.5s", "-1s", "0s", "60 s", "60S", "99999999999d", "٣s", "1s\n"]
)
def test_what_is_not_a_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parsers.duration_ms(text)


@pytest.mark.parametrize(
    ("text", "count"), [("512", 512), ("512B", 512), ("64KiB", 65_536), ("1MiB", 1 << 20)]
)
def test_sizes(text: str, count: int) -> None:
    assert parsers.size_bytes(text) == count


@pytest.mark.parametrize("text", ["", "1MB", "1k", "0", "-1", "1.5MiB", "9999GiB0"])
def test_what_is_not_a_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parsers.size_bytes(text)


@pytest.mark.parametrize("text", ["", "100", "100/", "/60s", "0/60s", "-1/60s", "1e3/60s", "100/0s", "²/1s"])
def test_what_is_not_a_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parsers.rate(text)


@pytest.mark.parametrize(
    "text",
    [
        "redis://127.0.0.1",
        "mongodb://user:word@host/",
        "mongodb://user@host/",
        "mongodb://host/?password=x",
        "mongodb://",
        "mongodb://[::1/",
    ],
)
def test_a_database_address_with_credentials_or_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parsers.mongo_url(text)


def test_a_redis_address_may_name_a_user_and_no_password() -> None:
    assert parsers.redis_url("rediss://credit@host:6380/0?ssl_ca_certs=/ca.pem")
    assert parsers.redis_url("rediss+cluster://credit@one:6380,two:6380/0?ssl_ca_certs=/ca.pem")
    with pytest.raises(ValueError, match="database"):
        parsers.redis_url("redis+cluster://one:6380/1")
    with pytest.raises(ValueError, match="credentials"):
        parsers.redis_url("redis+cluster://name:word@one:6380,two:6380")
    with pytest.raises(ValueError):
        parsers.redis_url("redis://:word@host/0")


def test_a_refused_value_is_not_repeated() -> None:
    _, problems = load({"CREDIT_METRICS_TOKEN": "tooshort", "CREDIT_MONGO_URL": "mongodb://u:verysecret@h/"})
    assert len(problems) == 2
    assert "tooshort" not in "".join(problems)
    assert "verysecret" not in "".join(problems)


def test_settings_do_not_show_their_token() -> None:
    settings, problems = load({"CREDIT_METRICS_TOKEN": "0123456789abcdefXYZ"})
    assert problems == []
    assert "0123456789abcdefXYZ" not in repr(settings)


def test_durations_that_contradict_each_other_are_a_problem() -> None:
    _, problems = load({"CREDIT_BAN_BASE": "2h", "CREDIT_BAN_MAX": "1h"})
    assert len(problems) == 1
    assert "CREDIT_BAN_MAX" in problems[0]


@pytest.mark.parametrize("text", ["*", "app.example", "https://app.example/", "https://user@app.example"])
def test_what_is_not_an_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parsers.origins(text)


def test_the_secret_files_are_the_nine_of_the_contract() -> None:
    assert len(FILES) == 9
