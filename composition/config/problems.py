"""What is wrong with a configuration: every problem at once, never a secret's value."""

from __future__ import annotations

from collections.abc import Iterable

EXIT_CONFIGURATION = 78
"""`EX_CONFIG` of BSD's sysexits(3)."""


class ConfigurationInvalid(Exception):
    """The service cannot start like this. Each problem names a setting or a file and says what to do."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))

    def listing(self) -> str:
        """For a terminal: one line a problem."""
        count = len(self.problems)
        head = f"configuration: {count} problem{'' if count == 1 else 's'}"
        return "\n".join([head, *(f"  - {problem}" for problem in self.problems)])
