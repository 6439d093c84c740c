#!/usr/bin/env bash
# pydantic-settings: a variable that has the prefix and is no setting is ignored, `extra="forbid"` or not; the same
# name in a file is refused. A list that is no JSON ends the reading, so that other problems are not told.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv environment
environment/bin/python -m pip install --quiet --disable-pip-version-check \
  pydantic-settings==2.16.3 pydantic==2.14.4 2>pip.log || { cat pip.log >&2; exit 1; }

SHOP_RETRIESS=9 SHOP_PEERS=one,two SHOP_WAIT=soon environment/bin/python - <<'END'
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError, TomlConfigSettingsSource

print("pydantic-settings", version("pydantic-settings"), "pydantic", version("pydantic"))


class Misspelt(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="SHOP_", extra="forbid")
    retries: int = 3


retries = Misspelt().retries
print(f"SHOP_RETRIESS=9: taken without a word, retries is {retries}")
assert retries == 3

Path("shop.toml").write_text("retriess = 9\n")


class FromFile(Misspelt):
    model_config = SettingsConfigDict(toml_file="shop.toml")

    @classmethod
    def settings_customise_sources(cls, settings_cls, **sources):
        return (TomlConfigSettingsSource(settings_cls),)


try:
    FromFile()
except ValidationError as error:
    print("retriess in a file:", error.errors()[0]["type"])
    assert error.errors()[0]["type"] == "extra_forbidden"
else:
    raise AssertionError("taken")


class Lists(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="SHOP_")
    peers: tuple[str, ...] = ()
    wait: int = 1


try:
    Lists()
except SettingsError as error:
    print("SHOP_PEERS=one,two SHOP_WAIT=soon:", error)
    assert "peers" in str(error) and "wait" not in str(error)
else:
    raise AssertionError("taken")
END
