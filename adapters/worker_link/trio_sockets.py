"""Sockets on trio."""

from __future__ import annotations

import socket

import trio

from adapters.worker_link.directory import Sockets


class TrioSockets:
    async def accept(self, listening: socket.socket) -> socket.socket:
        await trio.lowlevel.checkpoint()
        while True:
            try:
                connected, _ = listening.accept()
            except BlockingIOError:
                await trio.lowlevel.wait_readable(listening)
            else:
                connected.setblocking(False)
                return connected

    async def receive(self, connected: socket.socket, bytes_max: int) -> bytes:
        await trio.lowlevel.checkpoint()
        while True:
            try:
                return connected.recv(bytes_max)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(connected)

    async def send(self, connected: socket.socket, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        left = memoryview(data)
        while left:
            try:
                left = left[connected.send(left) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(connected)


def _fits(sockets: TrioSockets) -> Sockets:
    """mypy holds the adapter to its seam here."""
    return sockets
