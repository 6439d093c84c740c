"""TLS in front of a server that has none: decrypts what arrives at a port and hands it to a Unix socket.

For the Valkey of the Python index, which is built without TLS. It runs as a process of its own, so that it
can be killed together with the server behind it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ssl
from pathlib import Path

CHUNK_BYTES_MAX = 64 * 1024


async def serve(port: int, upstream: Path, certificate_file: Path) -> None:
    """Accepts at 127.0.0.1:`port` until cancelled; a client without TLS is cut off by the handshake."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate_file)

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # What ends one side ends the other: a client sees a lost connection, as it would without a front.
        with contextlib.suppress(OSError), contextlib.closing(writer):
            upstream_reader, upstream_writer = await asyncio.open_unix_connection(upstream)
            with contextlib.closing(upstream_writer):
                pumps = {
                    asyncio.ensure_future(_pump(reader, upstream_writer)),
                    asyncio.ensure_future(_pump(upstream_reader, writer)),
                }
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                for pump in pumps:
                    pump.cancel()

    server = await asyncio.start_server(forward, "127.0.0.1", port, ssl=context)
    await server.serve_forever()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(CHUNK_BYTES_MAX):
            writer.write(chunk)
            await writer.drain()


def main() -> None:
    """Runs until it is killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", type=Path, required=True, help="Unix socket")
    parser.add_argument("--certificate", type=Path, required=True, help="PEM with key and certificate")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.port, arguments.upstream, arguments.certificate))


if __name__ == "__main__":
    main()
