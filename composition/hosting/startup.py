"""From a started service to one that is served, announced and, for a demo, worth looking at."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from composition.hosting.asgi import Root, StartFailed
from composition.hosting.heartbeat import Heartbeat
from composition.hosting.listen import BACKLOG_MAX, Address, address_of
from composition.hosting.options import ServeOptions
from composition.hosting.process import RuntimeName
from composition.hosting.servers import (
    ServerName,
    granian_on_asyncio,
    hypercorn_config,
    hypercorn_on_asyncio,
    hypercorn_on_trio,
    uvicorn_on_asyncio,
)
from composition.managers.app_manager import AppManager
from domain.audit import SYSTEM, RequestContext

BOOTSTRAP_CONTEXT = RequestContext(request_id="bootstrap", actor=SYSTEM)
KEY_BYTES_MAX = 256


class Startup:
    """What happens once between the manager's start and the first request."""

    def __init__(
        self,
        *,
        options: ServeOptions,
        manager: AppManager,
        bound: socket.socket,
        say: Callable[[str], None],
        heartbeat: Heartbeat | None,
    ) -> None:
        self._options = options
        self._manager = manager
        self._bound = bound
        self._address = address_of(bound)
        self._say = say
        self._heartbeat = heartbeat
        self._key: str | None = None
        self._has_started = False
        self._walk: tuple[str, ...] = ()

    async def carry(self, root: Root, stop: Callable[[], Awaitable[Any]], *, grace_s: float) -> None:
        """Hands the socket to the chosen server and serves until `stop` returns."""
        options = self._options
        match options.server:
            case ServerName.HYPERCORN:
                config = hypercorn_config(self._bound, options.tls, grace_s=grace_s)
                on_trio = options.runtime is RuntimeName.TRIO
                await (hypercorn_on_trio if on_trio else hypercorn_on_asyncio)(root, config, stop)
            case ServerName.UVICORN:
                await uvicorn_on_asyncio(root, self._bound, options.tls, stop, grace_s=grace_s)
            case ServerName.GRANIAN:
                await granian_on_asyncio(
                    root,
                    self._bound,
                    options.tls,
                    stop,
                    has_started=lambda: self._has_started,
                    on_listening=self._announce,
                )

    async def ready(self) -> None:
        """All has started: prepares what is announced, then listens."""
        options = self._options
        file = options.bootstrap_api_key_file
        if file is not None:
            try:
                check_writable(file)
            except OSError as error:
                raise StartFailed(f"no bootstrap key can be written to {file}: {error.strerror}") from error
        if file is not None or options.demo:
            self._key = await self._bootstrap_key()
        if options.demo:
            from composition.hosting.demo import sample_data, walk  # noqa: PLC0415 - a demo's alone

            await sample_data(self._manager.use_cases)
            self._walk = walk(options, url_of(options, self._address), self._key or "")
        self._has_started = True
        if options.server is ServerName.GRANIAN:
            return
        self._bound.listen(BACKLOG_MAX)
        if options.server is ServerName.HYPERCORN:
            # It has a duplicate. This one would keep the port open while the last requests end.
            self._bound.close()
        self._announce()

    def _announce(self) -> None:
        options = self._options
        if options.bootstrap_api_key_file is not None and self._key is not None:
            write_private(options.bootstrap_api_key_file, self._key)
        if self._heartbeat is not None:
            self._heartbeat.ready()
        if options.worker is None:
            how = f"{options.store.value} store, {options.runtime.value}, {options.server.value}"
            self._say(f"serving on {url_of(options, self._address)} ({how})")
            for line in self._walk:
                self._say(line)

    async def _bootstrap_key(self) -> str:
        """In place of the earlier ones of this host and file. Those of other hosts may be in use there, but
        for the one that stands in the file: hosts may share it."""
        file = self._options.bootstrap_api_key_file
        place, shown = (socket.gethostname(), None) if file is None else (place_of(file), first_line(file))
        created = await self._manager.use_cases.api_keys.bootstrap(place, BOOTSTRAP_CONTEXT, shown=shown)
        return created.text


def place_of(file: Path) -> str:
    """Which host's file it is, however it is written."""
    return f"{socket.gethostname()}:{file.resolve()}"


def url_of(options: ServeOptions, address: Address) -> str:
    """What a client on this machine calls."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104 - compared
    return f"http{'s' if options.tls else ''}://{Address(host, address.port)}"


def first_line(file: Path) -> str | None:
    """None where there is none to read."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            return stream.readline(KEY_BYTES_MAX).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None


def check_writable(path: Path) -> None:
    """Raises `OSError`, as `write_private` would: so before there is a key that nobody could read."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    descriptor, unfinished = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(descriptor)
    Path(unfinished).unlink()


def write_private(path: Path, text: str) -> None:
    """Replaces the file at once, mode 0600: whoever waits for it never reads half of it."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    unfinished = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            os.fchmod(stream.fileno(), 0o600)
            stream.write(text + "\n")
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
