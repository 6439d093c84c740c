"""`docs/configuration.md`, printed from the tables of settings and secrets."""

from __future__ import annotations

from composition.secrets import FILES
from composition.settings import TABLE

_HEAD = """\
# Configuration

Printed by `python -m composition.configuration_page > docs/configuration.md`; a test holds page and code
together.

Settings come from the environment. A TOML file named by `CREDIT_CONFIG_FILE` may hold the same names
(`CREDIT_BAN_THRESHOLD = 5`, `CREDIT_CORS_ORIGINS = ["https://app.example"]`); the environment wins. Every
problem is reported at once, and the service does not start with one: exit code 78. A name with the prefix
`CREDIT_` that is not listed here is such a problem.

| name | default | unit | what it is |
|---|---|---|---|
"""

_SECRETS = """
## Secrets

Secrets are files, never values in the environment. They lie in `CREDIT_SECRETS_DIR` under the names below;
`NAME_FILE` names another path for one of them (`CREDIT_NAME_FILE` is understood as well). One trailing line
end is not part of the secret. A secret that is missing, empty, unreadable, too short, world-writable, or
a placeholder is a problem like those above: the service does not start. `creditctl secrets init` writes all
that are missing.

| file | other path by | what it is |
|---|---|---|
"""


def page() -> str:
    """The whole page, in Markdown."""
    rows = [
        f"| `{setting.variable}` | {f'`{setting.default}`' if setting.default else ''} | {setting.unit} "
        f"| {setting.description} |"
        for setting in TABLE
    ]
    secrets = [f"| `{file.name}` | `{file.variables[0]}` | {file.description} |" for file in FILES]
    return _HEAD + "\n".join(rows) + "\n" + _SECRETS + "\n".join(secrets) + "\n"


if __name__ == "__main__":
    print(page(), end="")
