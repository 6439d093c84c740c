"""What the directory of Unix sockets promises beyond what every carrier does."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from adapters.worker_link.asyncio_sockets import AsyncioSockets
from adapters.worker_link.directory import DirectoryHost
from adapters.worker_link.frames import Kind, LinkFrame, encoded
from adapters.worker_link.worker_link import StreamWorkerLink
from ports.runtime import Runtime
from tests.conformance.runtimes import Driver
from tests.conformance.worker_links import BOOK, Holder, held, host_of, only, reached, transfer


@pytest.fixture
def directory() -> Iterator[Path]:
    """Not `tmp_path`: the tests' own sockets take a path of 107 bytes at most."""
    with TemporaryDirectory(prefix="credit-") as made:
        yield Path(made)


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        encoded(LinkFrame(Kind.ANSWER, 1, b"[]")),
        encoded(LinkFrame(Kind.REQUEST, 2, b"[]")) + encoded(LinkFrame(Kind.REQUEST, 1, b"[]")),
    ],
)
def test_whoever_speaks_something_else_is_cut_off(run_real: Driver, directory: Path, garbage: bytes) -> None:
    async def body(runtime: Runtime) -> None:
        worker_link, holder = StreamWorkerLink(runtime, host_of(runtime, directory)), Holder(runtime)
        holding = await held(worker_link, holder)
        path = only(directory, "*.sock")

        def speak() -> bytes:
            with socket.socket(socket.AF_UNIX) as stranger:
                stranger.settimeout(10)
                stranger.connect(str(path))
                stranger.sendall(garbage)
                heard = b""
                while data := stranger.recv(1024):
                    heard += data
                return heard

        await runtime.run_in_thread(speak)
        link = await reached(worker_link)
        await link.submit([transfer("t1")])
        link.close()
        await holding.release()

    run_real(body)


def test_a_request_that_cannot_be_read_is_not_taken(run_real: Driver, directory: Path) -> None:
    async def body(runtime: Runtime) -> None:
        worker_link, holder = StreamWorkerLink(runtime, host_of(runtime, directory)), Holder(runtime)
        holding = await held(worker_link, holder)
        path = only(directory, "*.sock")

        def speak() -> bytes:
            with socket.socket(socket.AF_UNIX) as stranger:
                stranger.settimeout(10)
                stranger.connect(str(path))
                stranger.sendall(encoded(LinkFrame(Kind.REQUEST, 1, b'[[false,[["transfer",[1]]]]]')))
                return stranger.recv(1024)

        assert b"unreadable" in await runtime.run_in_thread(speak)
        assert holder.served == []
        await holding.release()

    run_real(body)


def test_a_directory_that_others_may_enter_is_not_used(directory: Path) -> None:
    directory.chmod(0o750)
    with pytest.raises(PermissionError):
        DirectoryHost(directory, AsyncioSockets())


def test_what_a_dead_holder_left_is_replaced(run_real: Driver, directory: Path) -> None:
    async def body(runtime: Runtime) -> None:
        worker_link, holder = StreamWorkerLink(runtime, host_of(runtime, directory)), Holder(runtime)
        await (await held(worker_link, holder)).release()
        lock = only(directory, "*.lock")
        dead = lock.with_suffix(".sock")
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(dead))
        assert await worker_link.reach(BOOK) is None
        holding = await held(worker_link, holder)
        link = await reached(worker_link)
        await link.submit([transfer("t1")])
        link.close()
        await holding.release()
        assert not dead.exists()
        assert lock.stat().st_mode & 0o077 == 0

    run_real(body)
