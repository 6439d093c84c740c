"""Which names, addresses and passwords a user may have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.identity.users import (
    UserProblem,
    device_digest,
    email_problems,
    is_possible_password,
    is_well_formed,
    password_bytes,
    password_problems,
    uniqueness_key,
    username_problems,
)

COMMON = frozenset({"password1", "strasse12"})


def chosen(password: str) -> tuple[UserProblem, ...]:
    return password_problems(
        password, username="Grace.Hopper", email="Rear.Admiral@navy.example", common=COMMON
    )


@pytest.mark.parametrize("username", ["ada", "Ada.Lovelace_1-x", "a" * 64, "..."])
def test_these_are_usernames(username: str) -> None:
    assert username_problems(username) == ()


@pytest.mark.parametrize("username", ["", "ab", "a" * 65, "a b c", "ada@x", "adä", "ada\n", "ada\0", "аda"])
def test_these_are_not_usernames(username: str) -> None:
    assert username_problems(username) == (UserProblem.USERNAME,)


@pytest.mark.parametrize("email", ["a@b.co", "Ada.Lovelace+x@mail.example.com", "ü@bücher.example"])
def test_these_are_addresses(email: str) -> None:
    assert email_problems(email) == ()


@pytest.mark.parametrize(
    "email",
    [
        "", "a", "a@", "@b.co", "a@b", "a@@b.co", "a b@c.de", "a@b..co", "a@.co", "a@b.co.", "a@b.co\n",
        "a\0@b.co", "a\ud800@b.co", "x" * 65 + "@b.co", "a@" + "b" * 250 + ".co", "a＠b@c.de",
        "ada\u200b@b.co", "ada\u00ad@b.co", "a\u202eda@b.co", "ada@b\u2060.co",
    ],
)  # fmt: skip
def test_these_are_not_addresses(email: str) -> None:
    assert email_problems(email) == (UserProblem.EMAIL,)


@pytest.mark.parametrize("password", ["12345678", "p" * 256, "pass wörd 🙂", "tab\tand\nline"])
def test_these_are_passwords(password: str) -> None:
    assert chosen(password) == ()
    assert is_possible_password(password)


@pytest.mark.parametrize(
    ("password", "problem"),
    [
        ("1234567", UserProblem.PASSWORD_LENGTH),
        ("p" * 257, UserProblem.PASSWORD_LENGTH),
        ("1234567\0", UserProblem.PASSWORD_CHARACTERS),
        ("1234567\udcff", UserProblem.PASSWORD_CHARACTERS),
    ],
)
def test_these_are_not_passwords(password: str, problem: UserProblem) -> None:
    assert chosen(password) == (problem,)
    assert not is_possible_password(password)


@pytest.mark.parametrize("password", ["password1", "Password1", "ＰＡＳＳWORD1", "STRASSE12", "Straße12"])
def test_what_everybody_tries_first_is_refused_however_it_is_spelled(password: str) -> None:
    assert chosen(password) == (UserProblem.PASSWORD_COMMON,)


@pytest.mark.parametrize(
    "password", ["grace.hopper", "GRACE.HOPPER", "rear.admiral@NAVY.example", "Rear.Admiral", "ｇrace.hopper"]
)
def test_a_name_is_no_password_for_it(password: str) -> None:
    assert chosen(password) == (UserProblem.PASSWORD_NAME,)


def test_characters_are_counted_as_they_are_hashed() -> None:
    assert chosen("e\u0301" * 8) == ()
    # Seven characters, typed as fourteen.
    assert chosen("e\u0301" * 7) == (UserProblem.PASSWORD_LENGTH,)
    assert chosen("e\u0301" * 256) == ()


def test_a_device_is_remembered_for_one_user_and_by_nothing_that_could_be_shown() -> None:
    digest = device_digest("usr_1", "device-0123456789")
    assert digest != device_digest("usr_2", "device-0123456789")
    assert "device" not in digest
    assert len(digest) == 22


def test_a_problem_names_its_input() -> None:
    assert {problem.field for problem in UserProblem} == {"username", "email", "password"}


@given(st.text())
def test_a_key_of_a_key_is_itself(text: str) -> None:
    assert uniqueness_key(uniqueness_key(text)) == uniqueness_key(text)


@given(st.text(alphabet=st.characters(codec="ascii")))
def test_case_makes_no_second_name(text: str) -> None:
    assert uniqueness_key(text.upper()) == uniqueness_key(text.lower())


def test_one_password_is_one_however_it_is_typed() -> None:
    assert password_bytes("caf\u00e9 au lait") == password_bytes("cafe\u0301 au lait")
    assert password_bytes("Password") != password_bytes("password")


@given(st.text(alphabet=st.characters(categories=["Cs", "L"]), min_size=8, max_size=20))
def test_text_is_well_formed_exactly_when_utf8_can_carry_it(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        assert not is_well_formed(text)
    else:
        assert is_well_formed(text)
