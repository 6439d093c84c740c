"""The environment and the configuration file: read here alone, so that every command reads them alike.

The environment takes precedence. An unknown name in the file is a problem. In the environment it is a problem
only where it is nearly the name of a setting: orchestrators add variables of their own, such as `CREDIT_PORT`
for a service that is called `credit`.
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
SIMILARITY_MIN = 0.8
"""Of 1 for equal names, as `difflib` measures: `MONGO_ULR`, with two letters swapped, has 0.89."""

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
"""Variables that Kubernetes and Docker add to a container for a service or link whose name begins with
`credit`: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables and
https://docs.docker.com/engine/network/links/#environment-variables."""


@dataclass(frozen=True, slots=True)
class SourcedText:
    """The text that one name has, and its source: `environment`, or the path of the file."""

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Sources:
    """The texts by name. `ignored` are unknown names in the environment."""

    texts: Mapping[str, SourcedText]
    ignored: tuple[str, ...] = ()


def read_sources(environ: Mapping[str, str], known: Collection[str], problems: list[str]) -> Sources:
    """Reads the `known` names. Appends each problem to `problems`."""
    texts: dict[str, SourcedText] = {}
    file = environ.get(CONFIG_FILE)
    for name, text in _read_file(Path(file), problems).items() if file else ():
        if name in known:
            texts[name] = SourcedText(text, str(file))
        elif name == CONFIG_FILE:
            problems.append(f"{name} ({file}): only the environment names the file")
        else:
            problems.append(f"{name} ({file}): no such setting{_suggestion(name, known)}")
    texts.update({name: SourcedText(environ[name], ENVIRONMENT) for name in known if name in environ})
    ignored = []
    for name in sorted(_unknown(environ, known)):
        if suggestion := _suggestion(name, known):
            problems.append(f"{name} ({ENVIRONMENT}): no such setting{suggestion}")
        else:
            ignored.append(name)
    return Sources(texts, tuple(ignored))


def _unknown(environ: Mapping[str, str], known: Collection[str]) -> Iterator[str]:
    for name in environ:
        is_ours = name.startswith(PREFIX) and name != CONFIG_FILE
        if is_ours and name not in known and INJECTED.fullmatch(name) is None:
            yield name


def _suggestion(name: str, known: Collection[str]) -> str:
    near = nearest(name, known)
    return "" if near is None else f"; is {near} meant?"


def nearest(name: str, known: Collection[str]) -> str | None:
    """The known name that `name` misspells or extends; None without one."""
    # Names are compared without their common prefix; of a secret's two names, the prefixed one is suggested.
    both = sorted((*known, CONFIG_FILE), key=lambda each: each.startswith(PREFIX))
    candidates = {each.removeprefix(PREFIX): each for each in both}
    text = name.upper().removeprefix(PREFIX)
    longer = [each for each in candidates if text.startswith(each)]
    close = difflib.get_close_matches(text, candidates, n=1, cutoff=SIMILARITY_MIN)
    best = max(longer, key=len) if longer else next(iter(close), None)
    return None if best is None else candidates[best]


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
    # Non-blocking, so that a named pipe in place of the file does not hang the command.
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
