"""`python -m tests.servers [--dir D]`: both servers in the foreground, to try the live store by hand."""

from __future__ import annotations

import argparse
import shlex
import signal
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.servers.mongod import MongodServer
from tests.servers.redis_server import RedisServer
from tests.servers.secret_files import write_secrets


def main() -> None:
    """Runs until Ctrl-C or SIGTERM. The directory must be new or empty; the default is a temporary one."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description=__doc__)
    parser.add_argument(
        "--dir", type=Path, help="where data, certificates, secrets and `env` go (new or empty)"
    )
    directory: Path | None = parser.parse_args().dir
    if directory is not None and directory.exists() and any(directory.iterdir()):
        parser.error(f"{directory} is not empty")

    # SIGTERM unwinds the stack as Ctrl-C does, so that both servers stop in order.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), ExitStack() as stack:
        if directory is None:
            temporary = tempfile.TemporaryDirectory(prefix="credit-servers-", ignore_cleanup_errors=True)
            directory = Path(stack.enter_context(temporary))
        directory = directory.resolve()
        mongod, redis_server = MongodServer(directory / "mongod"), RedisServer(directory / "redis")
        for server in (mongod, redis_server):
            stack.callback(server.close)
            server.start()
        write_secrets(directory / "secrets", mongod, redis_server)
        settings = {
            "CREDIT_MONGO_URL": mongod.url,
            "CREDIT_REDIS_URL": redis_server.url,
            "CREDIT_SECRETS_DIR": str(directory / "secrets"),
        }
        lines = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in settings.items())
        (directory / "env").write_text(lines, encoding="utf-8")
        print(lines, end="")
        print(
            f"# in the shell of the service: source {directory / 'env'}; Ctrl-C here stops both servers",
            flush=True,
        )
        signal.pause()


if __name__ == "__main__":
    main()
