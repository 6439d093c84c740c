"""`docs/configuration.md`, printed from the tables of settings and secrets."""

from __future__ import annotations

from composition.config.secrets import FILES
from composition.config.settings import TABLE

_HEAD = """\
# Configuration

Printed by `python -m composition.commands.configuration_page > docs/configuration.md`; a test holds
page and code together.

Settings come from the environment. A TOML file named by `CREDIT_CONFIG_FILE` may hold the same names, those
of secret files included (`CREDIT_BAN_THRESHOLD = 5`, `CREDIT_CORS_ORIGINS = ["https://app.example"]`). Every
command reads them alike: its option wins over the environment, that over the file, and that over the default.

Every problem is reported at once, and the service does not start with one: exit code 78. `creditctl config
check` reports them without a start. In the file, a name that is not listed here is such a problem. In the
environment, a name with the prefix `CREDIT_` is one when it is nearly the name of a setting
(`CREDIT_MONGO_ULR`). What Kubernetes and links of Docker put there for a service whose name begins with
`credit` (`CREDIT_PORT`, `CREDIT_SERVICE_HOST`, `CREDIT_MONGO_PORT_27017_TCP_ADDR`) means nothing; any other
name is ignored, with one warning in the log.

| name | default | unit | what it is |
|---|---|---|---|
"""

_SECRETS = """
## Secrets

Secrets are files, never values in the environment. They lie in `CREDIT_SECRETS_DIR` under the names below;
`NAME_FILE` names another path for one of them (`CREDIT_NAME_FILE` is understood as well). One trailing line
end is not part of the secret. A secret that is missing, empty, unreadable, too short, world-writable, or
a placeholder is a problem like those above: the service does not start. `creditctl secrets init` writes all
that are missing to where the service reads them; its option `--dir` stands in for `CREDIT_SECRETS_DIR`.

| file | other path by | what it is |
|---|---|---|
"""


def page() -> str:
    """The page in Markdown."""
    rows = [
        f"| `{setting.variable}` | {f'`{setting.default}`' if setting.default else ''} | {setting.unit} "
        f"| {setting.description} |"
        for setting in TABLE
    ]
    secrets = [f"| `{file.name}` | `{file.variables[0]}` | {file.description} |" for file in FILES]
    return _HEAD + "\n".join(rows) + "\n" + _SECRETS + "\n".join(secrets) + "\n"


if __name__ == "__main__":
    print(page(), end="")
