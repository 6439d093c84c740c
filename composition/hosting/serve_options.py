"""The options of `creditctl serve` and `demo`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from composition.config.settings import StoreName
from composition.hosting.listening import Address
from composition.hosting.servers import ServerName, Tls
from composition.wiring.platform import RuntimeName


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Options that were checked against each other."""

    store: StoreName
    runtime: RuntimeName
    server: ServerName
    address: Address
    tls: Tls | None = None
    workers: int = 1
    bootstrap_api_key_file: Path | None = None
    demo: bool = False
    worker: int | None = None
    """The number of this process under its supervisor; None without one."""
    ready_fd: int | None = None
    """The descriptor of the pipe for heartbeats; None without a supervisor."""

    def worker_arguments(self, address: Address, index: int, ready_fd: int, *, first: bool) -> list[str]:
        """The command line of a worker. The first start of the first worker writes the bootstrap key."""
        arguments = [
            *("serve", "--store", self.store.value, "--runtime", self.runtime.value),
            *("--server", self.server.value, "--bind", str(address)),
            *("--worker", str(index), "--ready-fd", str(ready_fd)),
        ]
        if self.tls is not None:
            arguments += ["--tls-cert", str(self.tls.certificate), "--tls-key", str(self.tls.key)]
        if self.bootstrap_api_key_file is not None and index == 0 and first:
            arguments += ["--bootstrap-api-key-file", str(self.bootstrap_api_key_file)]
        return arguments
