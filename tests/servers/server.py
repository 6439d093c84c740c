"""What the real servers of the tests have in common: they end, freeze, and begin anew on the same data."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self

from tests.servers.scratch import scratch_directory


class Process(Protocol):
    """One of a server's processes."""

    def stop(self) -> None: ...

    def kill(self) -> None: ...

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...


class Server(ABC):
    """Without a directory it has a temporary one, of which `close` leaves nothing."""

    def __init__(self, directory: Path | None, prefix: str) -> None:
        self.temporary = directory is None
        self.directory = directory or scratch_directory(prefix)

    @property
    @abstractmethod
    def processes(self) -> Sequence[Process]:
        """In the order in which they end."""

    @abstractmethod
    def start(self) -> Self:
        """Starts it and waits until it serves."""

    def stop(self) -> None:
        """Ends it in order; the data stays for the next `start`."""
        for process in self.processes:
            process.stop()

    def kill(self) -> None:
        """Ends it as a power cut would; the data stays for the next `start`."""
        for process in self.processes:
            process.kill()

    def freeze(self) -> None:
        """Until `thaw` it keeps its connections and answers nothing."""
        for process in self.processes:
            process.freeze()

    def thaw(self) -> None:
        for process in self.processes:
            process.thaw()

    def restart(self) -> Self:
        """Ends it when it runs, and starts it on the same port and data."""
        self.stop()
        return self.start()

    def close(self) -> None:
        """Ends it and removes what it kept, unless the directory was given."""
        if self.temporary:
            self.kill()
            shutil.rmtree(self.directory, ignore_errors=True)
        else:
            self.stop()
