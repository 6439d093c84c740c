"""`creditctl user create`: users of the live store, such as the first administrator."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Mapping
from pathlib import Path

from application.identity.users import InvalidUser, Taken
from composition.commands.live_store import on_live_store, operator
from composition.exit_codes import failed
from composition.wiring.use_cases import UseCases
from domain.identity.users import Role


def read_password(file: Path | None) -> str:
    """The password in a file, or else from the terminal or standard input, without its line end."""
    if file is not None:
        return file.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    if sys.stdin.isatty():
        return getpass.getpass("password: ")
    return sys.stdin.readline().removesuffix("\n").removesuffix("\r")


def create_user(environ: Mapping[str, str], *, username: str, email: str, password: str, role: str) -> int:
    """Creates a user with a role and prints the id. The exit code."""

    async def act(use_cases: UseCases) -> int:
        created = await use_cases.users.create(
            username=username, email=email, password=password, role=Role(role), context=operator()
        )
        match created:
            case InvalidUser(problems):
                return failed(*(f"{problem.field}: {problem.value}" for problem in problems))
            case Taken():
                return failed(created.value)
            case _:
                print(created.id)
                return 0

    return on_live_store(environ, act)
