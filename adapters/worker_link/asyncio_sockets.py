"""Sockets on asyncio's own event loop or uvloop's."""

from __future__ import annotations

import asyncio
import socket

from adapters.worker_link.directory import Sockets


class AsyncioSockets:
    async def accept(self, listening: socket.socket) -> socket.socket:
        # Not the loop's own: uvloop's, when it is cancelled, loses a connection that has just come.
        while True:
            try:
                connected, _ = listening.accept()
            except BlockingIOError:
                await _readable(listening)
            else:
                connected.setblocking(False)
                return connected

    async def receive(self, connected: socket.socket, bytes_max: int) -> bytes:
        return await asyncio.get_running_loop().sock_recv(connected, bytes_max)

    async def send(self, connected: socket.socket, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(connected, data)


async def _readable(waiting: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    readable = loop.create_future()

    def on_readable() -> None:
        if not readable.done():
            readable.set_result(None)

    loop.add_reader(waiting, on_readable)
    try:
        await readable
    finally:
        loop.remove_reader(waiting)


def _fits(sockets: AsyncioSockets) -> Sockets:
    """mypy holds the adapter to its seam here."""
    return sockets
