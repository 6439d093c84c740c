"""What the environment and the configuration file say: read here alone, so that every command sees the same.

The environment wins. A name that nothing knows is a problem in the file. In the environment it is one only
when it is nearly the name of a setting: orchestrators put variables there that nobody chose, such as
`CREDIT_PORT` for a service that is called `credit`.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PREFIX = "CREDIT_"
CONFIG_FILE = "CREDIT_CONFIG_FILE"
CONFIG_FILE_BYTES_MAX = 1 << 20
ENVIRONMENT = "environment"
NEAR = 0.8
"""Of 1 for the same name, as `difflib` measures: two letters that changed places are .89 in `MONGO_ULR`."""

INJECTED = re.compile(
    r"""CREDIT(_[A-Z0-9_]+)?_(
        # Kubernetes
        SERVICE_HOST | SERVICE_PORT(_[A-Z0-9_]+)?
        # Kubernetes, and links of Docker
        | PORT (_[0-9]+_(TCP|UDP|SCTP) (_(PROTO|PORT|ADDR))? (_(START|END))? )?
        # links of Docker
        | NAME | ENV_.+
    )""",
    re.VERBOSE,
)
"""What is put into the environment of a container for a service or a link whose name begins with `credit`:
https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables and
https://docs.docker.com/engine/network/links/#environment-variables."""


@dataclass(frozen=True, slots=True)
class Given:
    """The text of one name, and where it stands: `environment`, or the file's path."""

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Sources:
    """All that is given. `ignored` are names in the environment that mean nothing to us."""

    given: Mapping[str, Given]
    ignored: tuple[str, ...] = ()


def read_sources(environ: Mapping[str, str], known: Collection[str], problems: list[str]) -> Sources:
    """What is given of `known` names; each problem is appended to `problems`."""
    given: dict[str, Given] = {}
    file = environ.get(CONFIG_FILE)
    for name, text in _read_file(Path(file), problems).items() if file else ():
        if name in known:
            given[name] = Given(text, str(file))
        elif name == CONFIG_FILE:
            problems.append(f"{name} ({file}): only the environment names the file")
        else:
            problems.append(f"{name} ({file}): no such setting{_meant(name, known)}")
    given.update({name: Given(environ[name], ENVIRONMENT) for name in known if name in environ})
    ignored = []
    for name in sorted(_unknown(environ, known)):
        if meant := _meant(name, known):
            problems.append(f"{name} ({ENVIRONMENT}): no such setting{meant}")
        else:
            ignored.append(name)
    return Sources(given, tuple(ignored))


def _unknown(environ: Mapping[str, str], known: Collection[str]) -> Iterator[str]:
    for name in environ:
        is_ours = name.startswith(PREFIX) and name != CONFIG_FILE
        if is_ours and name not in known and INJECTED.fullmatch(name) is None:
            yield name


def _meant(name: str, known: Collection[str]) -> str:
    near = nearest(name, known)
    return "" if near is None else f"; is {near} meant?"


def nearest(name: str, known: Collection[str]) -> str | None:
    """The known name that this one nearly is: misspelt, or with something after it."""
    # Without the prefix, which all have in common; of the two names of a secret the one that has it.
    both = sorted((*known, CONFIG_FILE), key=lambda each: each.startswith(PREFIX))
    candidates = {each.removeprefix(PREFIX): each for each in both}
    text = name.upper().removeprefix(PREFIX)
    longer = [each for each in candidates if text.startswith(each)]
    close = difflib.get_close_matches(text, candidates, n=1, cutoff=NEAR)
    found = max(longer, key=len) if longer else next(iter(close), None)
    return None if found is None else candidates[found]


def _read_file(file: Path, problems: list[str]) -> dict[str, str]:
    try:
        table = tomllib.loads(_content(file).decode("utf-8"))
    except OSError as error:
        problems.append(f"{CONFIG_FILE}: {file}: {error.strerror}")
        return {}
    except ValueError as error:
        problems.append(f"{CONFIG_FILE}: {file}: {error}")
        return {}
    texts = {}
    for name, value in table.items():
        text = _text(value)
        if text is None:
            problems.append(f"{name} ({file}): not a text, a whole number, true or false, or a list of texts")
        else:
            texts[name] = text
    return texts


def _content(file: Path) -> bytes:
    # Not blocking: a named pipe in the file's place must not hang a command.
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise ValueError("not a regular file")
        content = stream.read(CONFIG_FILE_BYTES_MAX + 1)
    if len(content) > CONFIG_FILE_BYTES_MAX:
        raise ValueError("larger than 1 MiB")
    return content


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return ",".join(value)
    return None
