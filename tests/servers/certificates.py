"""A throw-away certificate authority and one server certificate, fresh for every test run."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

import trustme

VALIDITY = datetime.timedelta(days=2)
CLOCK_SKEW = datetime.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files: `ca_file` for clients; `certificate_file` and `key_file`, or both in `combined_file`."""

    ca_file: Path
    certificate_file: Path
    key_file: Path
    combined_file: Path


def write_certificates(directory: Path) -> Certificates:
    """Writes a new authority and a certificate for 127.0.0.1, ::1 and localhost into `directory`.

    The authority's own key is written nowhere. The certificate serves clients as well: members of a replica
    set present it to each other.
    """
    now = datetime.datetime.now(datetime.UTC)
    authority = trustme.CA()
    server = authority.issue_cert(
        "localhost", "127.0.0.1", "::1", not_before=now - CLOCK_SKEW, not_after=now + VALIDITY
    )
    files = Certificates(
        ca_file=directory / "ca.pem",
        certificate_file=directory / "server.crt",
        key_file=directory / "server.key",
        combined_file=directory / "server.pem",
    )
    authority.cert_pem.write_to_path(files.ca_file)
    server.cert_chain_pems[0].write_to_path(files.certificate_file)
    for path, content in (
        (files.key_file, server.private_key_pem),
        (files.combined_file, server.private_key_and_cert_chain_pem),
    ):
        path.touch(mode=0o600)
        content.write_to_path(path)
    return files
