from __future__ import annotations

import os
from pathlib import Path

import pytest

from composition.config.load import collect
from composition.config.secrets import FILES, Secrets, load_secrets, new_secrets, write_secrets

GOOD_KEY = "tq7Hn2mXv9Lr4Zs8Kb3Wd6Yf1Pc5Gj0AeUo"


def load(directory: Path, environ: dict[str, str], problems: list[str]) -> Secrets | None:
    configuration = collect({"CREDIT_SECRETS_DIR": str(directory), **environ}, problems)
    return load_secrets(configuration.secret_paths, problems)


def write(directory: Path, environ: dict[str, str] | None = None) -> tuple[list[Path], list[Path]]:
    """Written and kept."""
    configuration = collect({"CREDIT_SECRETS_DIR": str(directory), **(environ or {})}, [])
    done = list(write_secrets(configuration.secret_paths))
    return [path for path, is_new in done if is_new], [path for path, is_new in done if not is_new]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    place = tmp_path / "secrets"
    write(place)
    return place


def problems_of(directory: Path, environ: dict[str, str] | None = None) -> list[str]:
    problems: list[str] = []
    found = load(directory, environ or {}, problems)
    assert (found is None) == bool(problems)
    return problems


def test_written_secrets_are_good_ones(directory: Path) -> None:
    assert problems_of(directory) == []


def test_files_are_for_the_owner_only(directory: Path) -> None:
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    assert sorted(path.name for path in directory.iterdir()) == sorted(file.name for file in FILES)


def test_an_existing_file_is_never_written_over(directory: Path) -> None:
    (directory / "jwt_secret").write_text("")
    (directory / "redis_password").unlink()
    written, kept = write(directory)
    assert [path.name for path in written] == ["redis_password"]
    assert len(kept) == 8
    assert (directory / "jwt_secret").read_text() == ""


def test_every_missing_file_is_listed(tmp_path: Path) -> None:
    problems = problems_of(tmp_path / "nowhere")
    assert [problem.split(":")[0] for problem in problems] == [f"secret {file.name}" for file in FILES]
    assert all("`creditctl secrets init`" in problem for problem in problems)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"short\n", "too short"),
        (b"changeme", "placeholder"),
        (b"secret" * 8, "placeholder"),
        (b"a" * 64, "placeholder"),
        (b"abcdefghijklmnopqrstuvwxyz0123456789", "placeholder"),
        (b"abab" * 16, "placeholder"),
        (b"my-jwt-signing-key-please-change-me", "placeholder"),
        (GOOD_KEY.encode() + b"\nsecond line\n", "more than one line"),
        (b" " + GOOD_KEY.encode(), "spaces around"),
        (b"\xff" * 40, "not UTF-8"),
        (b"x" * 5000, "larger"),
    ],
)
def test_a_bad_key_is_a_problem_that_does_not_show_it(directory: Path, content: bytes, said: str) -> None:
    (directory / "jwt_secret").write_bytes(content)
    problems = problems_of(directory)
    assert len(problems) == 1
    assert said in problems[0]
    assert "jwt_secret" in problems[0]
    shown = content.decode("latin-1").strip()
    assert not shown or len(shown) < 8 or shown not in problems[0]


def test_a_password_is_at_least_twelve_bytes(directory: Path) -> None:
    (directory / "redis_password").write_text("k7#mQ2vX9pL")
    assert "too short" in problems_of(directory)[0]
    (directory / "redis_password").write_text("k7#mQ2vX9pLz")
    assert problems_of(directory) == []


@pytest.mark.parametrize("line_end", ["", "\n", "\r\n"])
def test_one_line_end_is_not_part_of_the_secret(directory: Path, line_end: str) -> None:
    (directory / "jwt_secret").write_bytes((GOOD_KEY + line_end).encode())
    found = load(directory, {}, [])
    assert found is not None
    assert found.jwt_secret == GOOD_KEY


def test_a_file_that_everybody_may_write_is_a_problem(directory: Path) -> None:
    (directory / "encryption_key").chmod(0o602)
    assert "writable by everybody" in problems_of(directory)[0]


def test_a_directory_in_a_secrets_place_is_a_problem(directory: Path) -> None:
    (directory / "encryption_key").unlink()
    (directory / "encryption_key").mkdir()
    assert len(problems_of(directory)) == 1


def test_a_named_pipe_in_a_secrets_place_does_not_hang(directory: Path) -> None:
    (directory / "encryption_key").unlink()
    os.mkfifo(directory / "encryption_key")
    assert "not a regular file" in problems_of(directory)[0]


@pytest.mark.parametrize("variable", ["JWT_SECRET_FILE", "CREDIT_JWT_SECRET_FILE"])
def test_a_variable_names_another_path(directory: Path, tmp_path: Path, variable: str) -> None:
    (directory / "jwt_secret").unlink()
    (tmp_path / "elsewhere").write_text(GOOD_KEY)
    found = load(directory, {variable: str(tmp_path / "elsewhere")}, [])
    assert found is not None
    assert found.jwt_secret == GOOD_KEY


@pytest.mark.parametrize("variable", ["JWT_SECRET_FILE", "CREDIT_JWT_SECRET_FILE"])
def test_the_configuration_file_names_another_path_too_and_the_environment_wins(
    directory: Path, tmp_path: Path, variable: str
) -> None:
    (directory / "jwt_secret").unlink()
    (tmp_path / "elsewhere").write_text(GOOD_KEY)
    (tmp_path / "credit.toml").write_text(f'{variable} = "{tmp_path}/elsewhere"\n')
    environ = {"CREDIT_CONFIG_FILE": str(tmp_path / "credit.toml")}
    found = load(directory, environ, [])
    assert found is not None
    assert found.jwt_secret == GOOD_KEY
    for other in ("JWT_SECRET_FILE", "CREDIT_JWT_SECRET_FILE"):
        assert "/nowhere is missing" in problems_of(directory, {**environ, other: "/nowhere"})[0]


def test_a_secret_with_a_path_of_its_own_is_written_to_where_it_is_read(tmp_path: Path) -> None:
    environ = {"JWT_SECRET_FILE": str(tmp_path / "other" / "jwt")}
    written, _ = write(tmp_path / "secrets", environ)
    assert tmp_path / "other" / "jwt" in written
    assert not (tmp_path / "secrets" / "jwt_secret").exists()
    assert (tmp_path / "other").stat().st_mode & 0o777 == 0o700
    assert problems_of(tmp_path / "secrets", environ) == []


def test_two_variables_that_disagree_are_a_problem(directory: Path) -> None:
    environ = {"JWT_SECRET_FILE": "/one", "CREDIT_JWT_SECRET_FILE": "/two"}
    assert "different files" in problems_of(directory, environ)[0]


def test_secrets_do_not_show_their_values() -> None:
    found = new_secrets()
    assert found.jwt_secret not in repr(found)
    assert found.mongodb_user not in repr(found)
    assert new_secrets().jwt_secret != found.jwt_secret
